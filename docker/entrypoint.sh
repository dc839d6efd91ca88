#!/bin/sh
# Makes the key pair and the database, or brings the database up to date; what is there is kept.
# Then becomes the container's command.
set -eu

flask init >/dev/null
exec "$@"
