"""What notifications does when something happened in the catalogue."""

from django.db import transaction

from catalogue.models import Subscription
from catalogue.rules import SubscriptionState
from catalogue.subscribing import LINK_LIVES
from notifications.audience import Audience
from notifications.rules import Level
from notifications.services import messages
from notifications.services.rendering import CONFIRM
from sysops.events.models import Event


def ask_to_confirm(event: Event) -> None:
    """Somebody signed an address up: it is asked, once for each sign-up. The link is made when the mail is sent."""
    waiting = Subscription.objects.filter(pk=int(event.subject), state=SubscriptionState.PENDING.value)
    subscription = waiting.select_related("service").first()
    if subscription is None:
        return
    with transaction.atomic():
        messages.post(
            key=f"subscription:{subscription.pk}:{event.pk}",
            kind=CONFIRM,
            level=Level.INFO,
            context={"subscription_id": subscription.pk, "service": subscription.service.name},
            audience=Audience(subscriptions=(subscription.pk,)),
            at=event.at,
            urgent=True,
            expires_at=event.at + LINK_LIVES,
        )
