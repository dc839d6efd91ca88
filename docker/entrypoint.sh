#!/bin/sh
# Brings keys and database up to date, then becomes the container's command.
set -eu
