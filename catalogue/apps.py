"""The catalogue as a Django app."""

from django.apps import AppConfig


class CatalogueConfig(AppConfig):
    name = "catalogue"
    verbose_name = "Catalogue"

    def ready(self) -> None:
        from sysops.access.rights import ADMIN, OPERATOR, VIEWER, declare

        declare("catalogue.view", roles=[VIEWER], description="See environments, hosts, services, teams and people")
        declare("catalogue.override", roles=[OPERATOR], description="Put somebody on call instead of the rota")
        declare("catalogue.change", roles=[ADMIN], description="Add, change and remove what the catalogue names")
