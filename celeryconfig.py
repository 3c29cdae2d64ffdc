"""How Celery runs here. Knows no Django: Flower and `celery inspect` can read it by itself.

The reasons behind the figures are in docs/operations.md and the laws in docs/architecture.md.
"""

from sysops import env as _env

_environment = _env.current()

# The longest task may run this long; the broker must not hand a message out again before that.
LONGEST_TASK_SECONDS = 24 * 3600

broker_url = _environment.broker_url.get_secret_value() if _environment.broker_url else "redis://localhost:6379/0"
result_backend = None  # results that matter are rows of ours
task_ignore_result = True

broker_connection_retry_on_startup = True
broker_connection_max_retries = None
# A broker that takes no writes (its disk is full, say) is waited for; a worker would end, and cut off a running backup.
broker_channel_error_retry = True
broker_transport_options = {
    "visibility_timeout": LONGEST_TASK_SECONDS + 3600,
    # A frozen broker may cost a request two seconds, never hang it; the outbox sends later.
    "socket_timeout": 2.0,
    "socket_connect_timeout": 2.0,
    "socket_keepalive": True,
    # After a reconnect, reserved messages come back at once instead of after the visibility timeout.
    "unacked_restore_interval": 1,
    "unacked_restore_throttle": 1,
    "queue_order_strategy": "priority",  # 0 goes first
}
task_publish_retry = False  # the row waits in the database and a sweeper publishes again

accept_content = ["json"]
task_serializer = "json"
result_serializer = "json"
enable_utc = True
timezone = "UTC"

task_acks_late = True
task_reject_on_worker_lost = True
task_default_queue = "default"
task_time_limit = 300
task_soft_time_limit = None
task_routes: dict[str, dict[str, str | int]] = {
    # What touches stores runs where the stores are; somebody waits for a restore, nobody for a verification.
    "backups.restore": {"queue": "backups", "priority": 0},
    "backups.stop_server": {"queue": "backups", "priority": 0},
    "backups.pick_up": {"queue": "backups", "priority": 0},
    "backups.take": {"queue": "backups", "priority": 3},
    "backups.apply_retention": {"queue": "backups", "priority": 6},
    "backups.clean_up": {"queue": "backups", "priority": 6},
    "backups.verify": {"queue": "backups", "priority": 6},
    # Sending goes on for seconds at a time; who shares its worker (ticks, relays) goes first.
    "notifications.send": {"queue": "notifications", "priority": 6},
    "notifications.*": {"queue": "notifications"},
    "checks.*": {"queue": "checks"},
    "intake.*": {"queue": "intake"},
}

worker_prefetch_multiplier = 1
worker_send_task_events = True  # Flower lives on these
task_send_sent_event = True
worker_hijack_root_logger = False
worker_soft_shutdown_timeout = 10.0
worker_enable_soft_shutdown_on_idle = False
worker_max_tasks_per_child = 1000

beat_scheduler = "sysops.beat:Scheduler"  # django-celery-beat's, which a clock that is set back would stop
beat_max_loop_interval = 5  # an edit in the admin is in force within this many seconds
beat_sync_every = 1
