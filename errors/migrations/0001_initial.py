import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.text
import django.utils.timezone
from django.conf import settings
from django.contrib.postgres.operations import TrigramExtension
from django.db import migrations, models

EVENTS = """
CREATE TABLE errors_event (
    event_id uuid NOT NULL,
    project_id bigint NOT NULL,
    grouping_id bigint NOT NULL,
    received_at timestamptz NOT NULL,
    occurred_at timestamptz NOT NULL,
    level varchar(16) NOT NULL,
    release varchar(250) NOT NULL,
    environment varchar(64) NOT NULL,
    payload bytea NOT NULL
) PARTITION BY RANGE (received_at);
-- The payload is compressed already.
ALTER TABLE errors_event ALTER COLUMN payload SET STORAGE EXTERNAL;
"""

# Reports come packed and stay a moment: not packed again, kept in the row up to a page, and vacuumed often.
SPOOL = """
ALTER TABLE errors_spool ALTER COLUMN body SET STORAGE EXTERNAL;
ALTER TABLE errors_spool SET (
    toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_insert_threshold = -1, toast.autovacuum_vacuum_scale_factor = 0.0,
    toast.autovacuum_vacuum_threshold = 5000
);
"""

# Rows whose counts change with every batch are rewritten in their own page, without touching the indexes.
COUNTED = """
ALTER TABLE errors_issue SET (fillfactor = 80);
ALTER TABLE errors_grouping SET (fillfactor = 80);
ALTER TABLE errors_hourcount SET (fillfactor = 80);
ALTER TABLE errors_tagvalue SET (fillfactor = 80);
ALTER TABLE errors_tagkey SET (fillfactor = 80);
"""


class Migration(migrations.Migration):

    initial = True

    dependencies = [
        ('access', '0002_audit_log'),
        ('catalogue', '0002_people_to_tell'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        TrigramExtension(),
        migrations.CreateModel(
            name='Grouping',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.PositiveSmallIntegerField(help_text='Of the algorithm that made the hash')),
                ('hash', models.BinaryField(max_length=16)),
                ('label', models.CharField(help_text='What it was made from, in words', max_length=300)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField()),
                ('event_count', models.PositiveBigIntegerField(default=0)),
                ('events_kept', models.PositiveBigIntegerField(default=0, help_text='Stored events, for retention by count')),
                ('account_count', models.PositiveIntegerField(default=0)),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='DigestAttempt',
            fields=[
                ('lane', models.PositiveSmallIntegerField(primary_key=True, serialize=False)),
                ('first_id', models.BigIntegerField()),
                ('last_id', models.BigIntegerField()),
                ('attempts', models.PositiveSmallIntegerField()),
                ('started_at', models.DateTimeField()),
            ],
        ),
        migrations.CreateModel(
            name='SeverityLevel',
            fields=[
                ('severity', models.CharField(choices=[('critical', 'Critical'), ('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], max_length=16, primary_key=True, serialize=False)),
                ('meaning', models.TextField(max_length=1000)),
                ('respond_within_seconds', models.PositiveIntegerField(help_text='0 is at once: it is due when it is seen.')),
                ('near_percent', models.PositiveSmallIntegerField(default=80, help_text='After this share of the time its deadline counts as near.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(99)])),
            ],
            options={
                'ordering': ['respond_within_seconds', 'severity'],
            },
        ),
        migrations.CreateModel(
            name='Spool',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('project_id', models.BigIntegerField()),
                ('key_id', models.BigIntegerField(null=True)),
                ('received_at', models.DateTimeField()),
                ('event_id', models.UUIDField(help_text='As answered; the digest keeps it', null=True)),
                ('kind', models.CharField(choices=[('envelope', 'Envelope'), ('store', 'Store'), ('security', 'Security'), ('plain', 'Plain')], max_length=16)),
                ('encoding', models.CharField(help_text='How the body is packed: identity, gzip, deflate, br, zstd', max_length=8)),
                ('remote', models.CharField(blank=True, default='', help_text="The sender's address", max_length=45)),
                ('body', models.BinaryField()),
            ],
            options={
                'verbose_name': 'waiting report',
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='AccountSketch',
            fields=[
                ('grouping', models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name='sketch', serialize=False, to='errors.grouping')),
                ('registers', models.BinaryField()),
            ],
        ),
        migrations.CreateModel(
            name='Issue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('error_type', models.CharField(max_length=200)),
                ('error_message', models.TextField(help_text='Of the latest event, at most 2,000 characters')),
                ('culprit', models.CharField(blank=True, default='', help_text='Where it happens', max_length=300)),
                ('level', models.CharField(default='error', help_text='Of the latest event, as the SDK says', max_length=16)),
                ('platform', models.CharField(blank=True, default='', max_length=32)),
                ('environment', models.CharField(blank=True, default='', help_text='Of the latest event', max_length=64)),
                ('first_release', models.CharField(blank=True, default='', max_length=250)),
                ('last_release', models.CharField(blank=True, default='', max_length=250)),
                ('status', models.CharField(choices=[('unresolved', 'Unresolved'), ('acknowledged', 'Acknowledged'), ('ignored', 'Ignored'), ('resolved', 'Resolved')], default='unresolved', editable=False, max_length=16)),
                ('severity', models.CharField(choices=[('critical', 'Critical'), ('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], editable=False, max_length=16)),
                ('severity_source', models.CharField(choices=[('rule', 'Rule'), ('manual', 'Manual')], default='rule', editable=False, max_length=8)),
                ('severity_because', models.CharField(blank=True, default='', max_length=300)),
                ('first_seen', models.DateTimeField()),
                ('last_seen', models.DateTimeField(help_text='Not indexed: it changes with each batch, which must stay cheap')),
                ('event_count', models.PositiveBigIntegerField(default=0)),
                ('affected_accounts', models.PositiveIntegerField(default=0)),
                ('accounts_exact', models.BooleanField(default=True, help_text='Off: estimated, within about 2 %')),
                ('latest_event_id', models.UUIDField(null=True)),
                ('latest_received_at', models.DateTimeField(null=True)),
                ('headline_behind', models.BooleanField(default=False, editable=False, help_text='Not that of the latest event yet')),
                ('assigned_at', models.DateTimeField(blank=True, null=True)),
                ('assigned_because', models.CharField(blank=True, default='', help_text='Who or which rule did it', max_length=300)),
                ('clock_started_at', models.DateTimeField(help_text='First seen, regressed or reopened: the SLA counts from here')),
                ('respond_by', models.DateTimeField(blank=True, null=True)),
                ('responded_at', models.DateTimeField(blank=True, null=True)),
                ('responded_by', models.CharField(blank=True, default='', max_length=255)),
                ('near_at', models.DateTimeField(blank=True, help_text='When the deadline counts as near', null=True)),
                ('near_told_at', models.DateTimeField(blank=True, null=True)),
                ('breached_at', models.DateTimeField(blank=True, null=True)),
                ('resolved_at', models.DateTimeField(blank=True, null=True)),
                ('resolved_by', models.CharField(blank=True, default='', max_length=255)),
                ('resolve_note', models.TextField(blank=True, default='', max_length=2000)),
                ('resolved_in_release', models.CharField(blank=True, default='', max_length=250)),
                ('resolved_in_next_release', models.BooleanField(default=False, help_text='In the one after resolved_in_release')),
                ('regressed_at', models.DateTimeField(blank=True, null=True)),
                ('regressions', models.PositiveIntegerField(default=0)),
                ('ignored_at', models.DateTimeField(blank=True, null=True)),
                ('ignored_by', models.CharField(blank=True, default='', max_length=255)),
                ('ignored_until', models.DateTimeField(blank=True, null=True)),
                ('ignored_until_events', models.PositiveBigIntegerField(blank=True, help_text='Its count of events then', null=True)),
                ('ignored_until_accounts', models.PositiveIntegerField(blank=True, help_text='Its count of accounts then', null=True)),
                ('search', models.GeneratedField(db_persist=True, expression=django.db.models.functions.text.Lower(django.db.models.functions.text.Concat('error_type', models.Value(' '), 'error_message', models.Value(' '), 'culprit', output_field=models.TextField())), output_field=models.TextField())),
                ('assignee', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='catalogue.person')),
                ('service', models.ForeignKey(blank=True, help_text='Of its project', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='catalogue.service')),
            ],
            options={
                'ordering': ['-last_seen', '-pk'],
            },
        ),
        migrations.AddField(
            model_name='grouping',
            name='issue',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='groupings', to='errors.issue'),
        ),
        migrations.CreateModel(
            name='Project',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('enabled', models.BooleanField(default=True, help_text='When off, nothing it sends is taken.')),
                ('quota_per_minute', models.PositiveIntegerField(blank=True, help_text='Reports taken per minute over all its keys; blank is no limit.', null=True)),
                ('retention_days', models.PositiveSmallIntegerField(default=90, help_text='Older events go.', validators=[django.core.validators.MinValueValidator(1), django.core.validators.MaxValueValidator(730)])),
                ('events_per_issue', models.PositiveIntegerField(default=10000, help_text='Of an issue with more the oldest events go.', validators=[django.core.validators.MinValueValidator(10)])),
                ('allowed_origins', models.JSONField(blank=True, default=list, help_text='Web pages that may report: ["https://shop.example"]. Empty: any page.')),
                ('scrub_fields', models.JSONField(blank=True, default=list, help_text='Names of fields to mask, besides those that are always masked.')),
                ('scrub_personal_data', models.BooleanField(default=True, help_text='Mask e-mail addresses and drop IP addresses of accounts and visitors.')),
                ('restricted', models.BooleanField(default=False, help_text='Only the readers named here, and admins, see its issues and events.')),
                ('deleted_at', models.DateTimeField(editable=False, help_text='Asked to be deleted: hidden at once, and removed bit by bit.', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.CharField(editable=False, max_length=255)),
                ('environment', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='catalogue.environment')),
                ('reader_tokens', models.ManyToManyField(blank=True, related_name='+', to='access.apitoken')),
                ('readers', models.ManyToManyField(blank=True, related_name='+', to=settings.AUTH_USER_MODEL)),
                ('service', models.ForeignKey(blank=True, help_text='What it runs for: its owner team is told, and its maintenance holds alerts back.', null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='catalogue.service')),
            ],
            options={
                'verbose_name': 'error project',
                'ordering': ['slug'],
            },
        ),
        migrations.CreateModel(
            name='Key',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('public', models.CharField(editable=False, max_length=32, unique=True)),
                ('label', models.CharField(blank=True, default='', max_length=100)),
                ('enabled', models.BooleanField(default=True)),
                ('quota_per_minute', models.PositiveIntegerField(blank=True, help_text='Reports taken per minute; blank is no limit.', null=True)),
                ('created_at', models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ('created_by', models.CharField(editable=False, max_length=255)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='keys', to='errors.project')),
            ],
            options={
                'verbose_name': 'DSN key',
                'ordering': ['pk'],
            },
        ),
        migrations.AddField(
            model_name='issue',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='issues', to='errors.project'),
        ),
        migrations.AddField(
            model_name='grouping',
            name='project',
            field=models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='groupings', to='errors.project'),
        ),
        migrations.CreateModel(
            name='Feedback',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('feedback_id', models.UUIDField()),
                ('event_id', models.UUIDField(blank=True, help_text='The error it is about', null=True)),
                ('name', models.CharField(blank=True, default='', max_length=200)),
                ('email', models.CharField(blank=True, default='', max_length=254)),
                ('message', models.TextField(max_length=10000)),
                ('url', models.CharField(blank=True, default='', max_length=1000)),
                ('received_at', models.DateTimeField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='feedback', to='errors.project')),
            ],
            options={
                'verbose_name_plural': 'feedback',
                'ordering': ['-received_at', '-pk'],
            },
        ),
        # Django knows no partitions. Each partition has its own unique index (errors/partitions.py): one over all of
        # them would have to contain the time, and then would not make the event id unique.
        migrations.SeparateDatabaseAndState(
            database_operations=[migrations.RunSQL(EVENTS, "DROP TABLE errors_event")],
            state_operations=[
                migrations.CreateModel(
                    name='Event',
                    fields=[
                        ('event_id', models.UUIDField(primary_key=True, serialize=False)),
                        ('received_at', models.DateTimeField()),
                        ('occurred_at', models.DateTimeField()),
                        ('level', models.CharField(max_length=16)),
                        ('release', models.CharField(blank=True, default='', max_length=250)),
                        ('environment', models.CharField(blank=True, default='', max_length=64)),
                        ('payload', models.BinaryField(help_text='The normalised, scrubbed event: JSON, compressed with zstd')),
                        ('grouping', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='errors.grouping')),
                        ('project', models.ForeignKey(db_constraint=False, on_delete=django.db.models.deletion.DO_NOTHING, related_name='+', to='errors.project')),
                    ],
                    options={
                        'ordering': ['-received_at', '-event_id'],
                    },
                ),
            ],
        ),
        migrations.CreateModel(
            name='CheckIn',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('check_in_id', models.UUIDField()),
                ('monitor', models.CharField(help_text="The job's slug", max_length=100)),
                ('status', models.CharField(help_text='in_progress, ok, error', max_length=16)),
                ('environment', models.CharField(blank=True, default='', max_length=64)),
                ('duration_seconds', models.FloatField(blank=True, null=True)),
                ('monitor_config', models.JSONField(blank=True, help_text='The schedule the job says it keeps', null=True)),
                ('received_at', models.DateTimeField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='check_ins', to='errors.project')),
            ],
            options={
                'ordering': ['-received_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='Attachment',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField()),
                ('position', models.PositiveSmallIntegerField(help_text='Its place in the envelope')),
                ('filename', models.CharField(max_length=255)),
                ('content_type', models.CharField(blank=True, default='', max_length=100)),
                ('size_bytes', models.PositiveIntegerField()),
                ('body', models.BinaryField()),
                ('received_at', models.DateTimeField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='attachments', to='errors.project')),
            ],
            options={
                'ordering': ['-received_at', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='AssignmentRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200)),
                ('position', models.PositiveSmallIntegerField(default=100)),
                ('enabled', models.BooleanField(default=True)),
                ('path', models.CharField(blank=True, default='', help_text='A pattern for files of the stack trace: shop/payment/*', max_length=300)),
                ('tag_key', models.CharField(blank=True, default='', max_length=64)),
                ('tag_value', models.CharField(blank=True, default='', help_text='A pattern: eu-*', max_length=200)),
                ('person', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalogue.person')),
                ('service', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalogue.service')),
                ('team', models.ForeignKey(blank=True, help_text='Its on-call person', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='catalogue.team')),
                ('project', models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.CASCADE, related_name='assignment_rules', to='errors.project')),
            ],
            options={
                'ordering': ['position', 'pk'],
            },
        ),
        migrations.CreateModel(
            name='Announcement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=100, unique=True)),
                ('episode_at', models.DateTimeField(help_text='When this run of trouble began; quiet long enough, a new one starts')),
                ('told_at', models.DateTimeField(blank=True, null=True)),
                ('times_told', models.PositiveIntegerField(default=0)),
                ('told_count', models.PositiveBigIntegerField(default=0, help_text='Events (issues) there were when last told')),
                ('pending', models.PositiveBigIntegerField(default=0, help_text='Events (issues) since then')),
                ('last_at', models.DateTimeField(help_text='When the latest of them came')),
                ('next_at', models.DateTimeField(blank=True, help_text='When what is pending is told; none: nothing is', null=True)),
                ('data', models.JSONField(blank=True, default=dict)),
                ('issue', models.ForeignKey(null=True, on_delete=django.db.models.deletion.CASCADE, related_name='announcements', to='errors.issue')),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='announcements', to='errors.project')),
            ],
            options={
                'ordering': ['pk'],
            },
        ),
        migrations.CreateModel(
            name='Release',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('version', models.CharField(max_length=250)),
                ('first_seen', models.DateTimeField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='releases', to='errors.project')),
            ],
            options={
                'ordering': ['-first_seen', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='SessionCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('release', models.CharField(blank=True, default='', max_length=250)),
                ('environment', models.CharField(blank=True, default='', max_length=64)),
                ('started', models.PositiveBigIntegerField(default=0)),
                ('exited', models.PositiveBigIntegerField(default=0)),
                ('errored', models.PositiveBigIntegerField(default=0)),
                ('crashed', models.PositiveBigIntegerField(default=0)),
                ('abnormal', models.PositiveBigIntegerField(default=0)),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to='errors.project')),
            ],
            options={
                'ordering': ['-hour', '-pk'],
            },
        ),
        migrations.CreateModel(
            name='SeverityRule',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('slug', models.SlugField(max_length=64, unique=True)),
                ('name', models.CharField(max_length=200)),
                ('position', models.PositiveSmallIntegerField(default=100)),
                ('severity', models.CharField(choices=[('critical', 'Critical'), ('high', 'High'), ('medium', 'Medium'), ('low', 'Low')], max_length=16)),
                ('enabled', models.BooleanField(default=True)),
                ('conditions', models.JSONField(blank=True, default=dict, help_text='All must hold: {"level": ["fatal"], "error_type": "Timeout*", "message": "*disk full*", "service": ["shop"], "tag": {"area": "payment"}, "accounts_at_least": 2, "events_at_least": 100, "within_minutes": 60}')),
                ('project', models.ForeignKey(blank=True, help_text='Blank: all', null=True, on_delete=django.db.models.deletion.CASCADE, related_name='severity_rules', to='errors.project')),
            ],
            options={
                'ordering': ['position', 'slug'],
            },
        ),
        migrations.AddField(
            model_name='issue',
            name='severity_rule',
            field=models.ForeignKey(blank=True, null=True, on_delete=django.db.models.deletion.SET_NULL, related_name='+', to='errors.severityrule'),
        ),
        migrations.CreateModel(
            name='TagKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64)),
                ('values_kept', models.PositiveIntegerField(default=0)),
                ('other', models.PositiveBigIntegerField(default=0, help_text='Events whose value is not listed')),
                ('grouping', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tag_keys', to='errors.grouping')),
            ],
        ),
        migrations.CreateModel(
            name='TagValue',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('key', models.CharField(max_length=64)),
                ('value', models.CharField(max_length=250)),
                ('quantity', models.PositiveBigIntegerField()),
                ('last_seen', models.DateTimeField()),
                ('grouping', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='tags', to='errors.grouping')),
            ],
        ),
        migrations.CreateModel(
            name='Undigestible',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_id', models.UUIDField(null=True)),
                ('received_at', models.DateTimeField()),
                ('failed_at', models.DateTimeField()),
                ('kind', models.CharField(choices=[('envelope', 'Envelope'), ('store', 'Store'), ('security', 'Security'), ('plain', 'Plain')], max_length=16)),
                ('encoding', models.CharField(max_length=8)),
                ('reason', models.TextField()),
                ('body', models.BinaryField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='undigestible', to='errors.project')),
            ],
            options={
                'verbose_name': 'undigestible report',
                'ordering': ['-pk'],
            },
        ),
        migrations.CreateModel(
            name='Account',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hash', models.BigIntegerField()),
                ('grouping', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='accounts', to='errors.grouping')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('grouping', 'hash'), name='errors_account_once')],
            },
        ),
        migrations.CreateModel(
            name='HourCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('quantity', models.PositiveBigIntegerField()),
                ('grouping', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='hours', to='errors.grouping')),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('grouping', 'hour'), name='errors_hour_once')],
            },
        ),
        migrations.CreateModel(
            name='ActivityEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('created', 'Created'), ('acknowledged', 'Acknowledged'), ('assigned', 'Assigned'), ('resolved', 'Resolved'), ('ignored', 'Ignored'), ('reopened', 'Reopened'), ('regressed', 'Regressed'), ('severity', 'Severity'), ('comment', 'Comment'), ('merged', 'Merged'), ('unmerged', 'Unmerged'), ('sla_near', 'Sla near'), ('sla_breached', 'Sla breached')], max_length=16)),
                ('at', models.DateTimeField()),
                ('by', models.CharField(max_length=255)),
                ('text', models.TextField(blank=True, default='', max_length=10000)),
                ('data', models.JSONField(blank=True, default=dict)),
                ('issue', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='activity', to='errors.issue')),
            ],
            options={
                'verbose_name_plural': 'activity',
                'ordering': ['-at', '-pk'],
                'indexes': [models.Index(fields=['issue', '-at'], name='errors_activity_issue')],
            },
        ),
        migrations.CreateModel(
            name='OutcomeCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('hour', models.DateTimeField()),
                ('category', models.CharField(help_text='error, transaction, session, attachment …', max_length=40)),
                ('outcome', models.CharField(choices=[('accepted', 'Accepted'), ('duplicate', 'Duplicate'), ('sampled_out', 'Sampled out'), ('rate_limited', 'Rate limited'), ('invalid', 'Invalid'), ('undigestible', 'Undigestible'), ('unknown_item', 'Unknown item'), ('too_large', 'Too large'), ('client_discard', 'Client discard')], max_length=16)),
                ('reason', models.CharField(blank=True, default='', max_length=100)),
                ('quantity', models.PositiveBigIntegerField()),
                ('project', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='outcomes', to='errors.project')),
            ],
            options={
                'ordering': ['-hour', 'category', 'outcome', 'reason', 'pk'],
                'constraints': [models.UniqueConstraint(fields=('project', 'hour', 'category', 'outcome', 'reason'), name='errors_outcome_once')],
            },
        ),
        migrations.AddConstraint(
            model_name='grouping',
            constraint=models.UniqueConstraint(fields=('project', 'hash'), name='errors_grouping_once'),
        ),
        migrations.AddIndex(
            model_name='feedback',
            index=models.Index(fields=['project', 'event_id'], name='errors_feedback_event'),
        ),
        migrations.AddConstraint(
            model_name='feedback',
            constraint=models.UniqueConstraint(fields=('project', 'feedback_id'), name='errors_feedback_once'),
        ),
        migrations.AddIndex(
            model_name='checkin',
            index=models.Index(fields=['project', 'monitor', '-received_at'], name='errors_checkin_monitor'),
        ),
        migrations.AddConstraint(
            model_name='checkin',
            constraint=models.UniqueConstraint(fields=('project', 'check_in_id', 'status'), name='errors_checkin_once'),
        ),
        migrations.AddConstraint(
            model_name='attachment',
            constraint=models.UniqueConstraint(fields=('project', 'event_id', 'position'), name='errors_attachment_once'),
        ),
        migrations.AddConstraint(
            model_name='assignmentrule',
            constraint=models.CheckConstraint(condition=models.Q(('person__isnull', False), ('team__isnull', False), _connector='XOR'), name='errors_assignment_to_one', violation_error_message='Name either a person or a team.'),
        ),
        migrations.AddIndex(
            model_name='announcement',
            index=models.Index(condition=models.Q(('next_at__isnull', False)), fields=['next_at'], name='errors_announce_due'),
        ),
        migrations.AddConstraint(
            model_name='release',
            constraint=models.UniqueConstraint(fields=('project', 'version'), name='errors_release_once'),
        ),
        migrations.AddConstraint(
            model_name='sessioncount',
            constraint=models.UniqueConstraint(fields=('project', 'hour', 'release', 'environment'), name='errors_sessions_once'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(fields=['project', 'status', 'severity'], name='errors_issue_project'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(condition=models.Q(('breached_at', None), ('responded_at', None)), fields=['respond_by'], name='errors_issue_sla'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(condition=models.Q(('status', 'ignored')), fields=['ignored_until'], name='errors_issue_ignored'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(condition=models.Q(('headline_behind', True)), fields=['headline_behind'], name='errors_issue_behind'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(fields=['assignee'], name='errors_issue_assignee'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=models.Index(fields=['service', '-first_seen'], name='errors_issue_service'),
        ),
        migrations.AddIndex(
            model_name='issue',
            index=django.contrib.postgres.indexes.GinIndex(fields=['search'], name='errors_issue_search', opclasses=['gin_trgm_ops']),
        ),
        migrations.AddIndex(
            model_name='tagkey',
            index=models.Index(django.db.models.functions.text.Upper('key'), name='errors_tagkey_alike'),
        ),
        migrations.AddConstraint(
            model_name='tagkey',
            constraint=models.UniqueConstraint(fields=('grouping', 'key'), name='errors_tagkey_once'),
        ),
        migrations.AddIndex(
            model_name='tagvalue',
            index=models.Index(fields=['key', 'value', 'grouping'], name='errors_tagvalue_search'),
        ),
        migrations.AddConstraint(
            model_name='tagvalue',
            constraint=models.UniqueConstraint(fields=('grouping', 'key', 'value'), name='errors_tagvalue_once'),
        ),
        migrations.AddIndex(
            model_name='undigestible',
            index=models.Index(fields=['project', '-failed_at'], name='errors_undigestible_project'),
        ),
        migrations.RunSQL(SPOOL, migrations.RunSQL.noop),
        migrations.RunSQL(COUNTED, migrations.RunSQL.noop),
    ]
