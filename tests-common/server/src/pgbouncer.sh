# Waits until the test process is gone, then ends its PgBouncer and removes the folder.
#
# $1 is the folder. Only the test process holds the other end of standard input, which is a pipe.

# A signal to all processes also ends the test process, which ends the input.
trap '' INT TERM HUP

while read -r _; do :; done

# Repeated, since PgBouncer may have just been started. Without its folder it does not start.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    pid=$(cat "$1/pid" 2>/dev/null)
    # PgBouncer has no data to save.
    case $pid in '' | *[!0-9]*) ;; *) kill -KILL "$pid" 2>/dev/null ;; esac
    rm -rf "$1" && sleep 0.05 && [ ! -e "$1" ] && exit 0
    sleep 0.2
done
exit 1
