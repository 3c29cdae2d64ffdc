"""How much of an event is kept. What goes beyond is cut, and the event's notes say so."""

TEXT = 8_192  # characters of any text
LINE = 512  # characters of a line of source
NAME = 200  # characters of a key
DEPTH = 12  # containers within containers
ITEMS = 250  # entries of one container
NODES = 20_000  # entries of all containers together
FRAMES = 250  # of one stack trace: the innermost, and a few of the outermost
OUTERMOST = 50
EXCEPTIONS = 50
THREADS = 50
BREADCRUMBS = 100  # the latest
LINES = 10  # of source, before and after
FINGERPRINT = 20
NOTES = 20

TAGS = 50
TAG_KEY = 64
TAG_VALUE = 200

ERROR_TYPE = 200
ERROR_MESSAGE = 2_000
CULPRIT = 300
LABEL = 300
RELEASE = 250
ENVIRONMENT = 64
PLATFORM = 32
LEVEL = 16
PATHS = 20
PATH = 300

PAST_DAYS = 30  # offline SDKs send late; a clock that is further off is wrong
FUTURE_SECONDS = 300
