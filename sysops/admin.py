"""The pages of django-celery-beat, made to look and be allowed like the rest of the admin."""

from typing import ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django_celery_beat.admin import ClockedScheduleAdmin as DjangoClockedScheduleAdmin
from django_celery_beat.admin import CrontabScheduleAdmin as DjangoCrontabScheduleAdmin
from django_celery_beat.admin import PeriodicTaskAdmin as DjangoPeriodicTaskAdmin
from django_celery_beat.admin import PeriodicTaskForm, TaskSelectWidget
from django_celery_beat.models import ClockedSchedule, CrontabSchedule, IntervalSchedule, PeriodicTask, SolarSchedule
from unfold.widgets import UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from sysops.access.audited import AuditedModelAdmin

for model in (PeriodicTask, CrontabSchedule, IntervalSchedule, ClockedSchedule, SolarSchedule):
    admin.site.unregister(model)

RIGHTS = {
    "view": "backups.view",
    "add": "backups.configure",
    "change": "backups.configure",
    "delete": "backups.configure",
}


class TaskSelect(UnfoldAdminSelectWidget, TaskSelectWidget):
    """The registered tasks, in unfold's clothes."""


class TaskForm(PeriodicTaskForm):
    """A row of the schedule."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if "task" in self.fields:  # those who only see have no fields
            self.fields["task"].widget = UnfoldAdminTextInputWidget()
            self.fields["regtask"].widget = TaskSelect()


@admin.register(PeriodicTask)
class PeriodicTaskAdmin(AuditedModelAdmin, DjangoPeriodicTaskAdmin):
    """What the scheduler sends, and when. Edits count within seconds, without a restart."""

    rights: ClassVar = RIGHTS
    form = TaskForm
    list_display = ("name", "enabled", "sent", "last_run_at")  # "one-off" would be a column of red crosses
    list_filter = ("enabled", "one_off", "task")
    change_list_template = "admin/change_list.html"

    @admin.display(description="When")
    def sent(self, row: PeriodicTask) -> str:
        """Without the legend that comes with cron rules: "0 2 * * * UTC", "every 15 seconds"."""
        return str(row.scheduler).replace(" (m/h/dM/MY/d)", "")

    def get_actions(self, request: HttpRequest) -> dict[str, object]:
        """None: those that come with it ask for no right and leave no trace in the audit log."""
        return {}


class _Schedule(AuditedModelAdmin):
    rights: ClassVar = RIGHTS
    inlines = ()  # the rows that use a schedule have their own page


@admin.register(CrontabSchedule)
class CrontabScheduleAdmin(_Schedule, DjangoCrontabScheduleAdmin):
    """Cron rules that rows of the schedule point at."""


@admin.register(ClockedSchedule)
class ClockedScheduleAdmin(_Schedule, DjangoClockedScheduleAdmin):
    """Single moments."""


@admin.register(IntervalSchedule)
class IntervalScheduleAdmin(_Schedule):
    """Fixed intervals."""


@admin.register(SolarSchedule)
class SolarScheduleAdmin(_Schedule):
    """Sunrise and sunset."""
