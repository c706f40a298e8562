/// How each of the scripts begins.
const BEGINNING: &str = r#"#!/bin/bash
if [ ! -d "$PGROOT" ]; then
    PGROOT=$(cd "$(dirname "$0")/../../.." && pwd)
fi
source ${PGROOT}/2warm/global/replication/configSetup
"#;

/// Names and bodies of the scripts.
pub const SCRIPTS: [(&str, &str); 5] = [
    ("archiveWALFile", ARCHIVE_WAL_FILE),
    ("restoreWALFile", RESTORE_WAL_FILE),
    ("triggerStandby", TRIGGER_STANDBY),
    ("flushPrimary", FLUSH_PRIMARY),
    // A script of the site's own, which is never replaced.
    ("nightly", NIGHTLY),
];

/// The text of a script.
pub fn text_of(body: &str) -> String {
    format!("{BEGINNING}{body}")
}

/// rsync to the final name. The archive of the other node has another path only because both nodes are on one
/// machine.
const ARCHIVE_WAL_FILE: &str = r#"
require_other
if [ -f "${LOCAL}/replication/archiving_active" ]; then
    rsync -cz $1 ${OTHERNODE}:$FAR_ARCHIVE/$2 || exit 1
fi
exit 0
"#;

const RESTORE_WAL_FILE: &str = r#"
require_archive
$GLOBAL/replication/pg_standby -c -d -r 1 -s 30 -w 0 -t trigger $ARCHIVE $1 $2 $3
exit_on_error "pg_standby failed with $?"
exit 0
"#;

const TRIGGER_STANDBY: &str = r#"
require_pgdata
standby_only
rm -f $LOCAL/replication/archiving_active
if [ "${1:-smart}" = fast ]; then
    echo fast > $PGDATA/trigger
else
    touch $PGDATA/trigger
fi
exit_on_error "no trigger could be written"
exit 0
"#;

/// Sends the whole WAL directory of a stopped server, recycled files included.
const FLUSH_PRIMARY: &str = r#"
require_pgdata
primary_only
require_archive
rsync -cz ${PGDATA}/pg_wal/* ${OTHERNODE}:$FAR_ARCHIVE/
exit_on_error "the WAL could not be copied"
exit 0
"#;

const NIGHTLY: &str = r#"
require_pgdata
require_other
echo "$PGROOT $PGDATA $ARCHIVE $OTHERNODE $NIGHTLY_SAYS"
"#;

/// configSetup sources environment.sh and sets ARCHIVE last.
pub const CONFIG_SETUP: &str = r#"#!/bin/bash
function refuse { echo "ERROR:  $1"; exit 1; }
function require_pgdata { [ -d "$PGDATA" ] || refuse "no PGDATA"; }
function require_archive { require_pgdata; mkdir -p $ARCHIVE || refuse "no archive"; }
function require_other { [ -n "$OTHERNODE" ] || refuse "no other node"; }
function primary_only { ! ls $PGDATA/recovery.* >/dev/null 2>&1 || refuse "a standby"; }
function standby_only { ls $PGDATA/recovery.* >/dev/null 2>&1 || refuse "no standby"; }
function exit_on_error { [ $? -eq 0 ] || refuse "$1"; }
GLOBAL=${PGROOT}/2warm/global/
LOCAL=${PGROOT}/2warm/local/
OTHERNODE=$(cat $LOCAL/replication/othernode)
source $LOCAL/environment.sh
ARCHIVE=${PGDATA}/archive
"#;

/// pg_standby takes a file of the right size for complete. Obeying a fast trigger makes it smart.
pub const PG_STANDBY: &str = r#"#!/bin/bash
while getopts cdr:s:w:t: option; do
    [ $option != t ] || trigger=$OPTARG
done
shift $((OPTIND - 1))
from=$1/$2 to=$3
while :; do
    if [ "$(head -c 4 $trigger 2>/dev/null)" = fast ]; then
        : > $trigger
        exit 1
    fi
    case $2 in
        *.history) [ -f $from ] || exit 1; cp $from $to; exit ;;
    esac
    if [ "$(stat -c %s $from 2>/dev/null)" = SEGMENT ]; then
        cp $from $to
        exit
    fi
    [ ! -e $trigger ] || exit 1
    sleep 0.05
done
"#;
