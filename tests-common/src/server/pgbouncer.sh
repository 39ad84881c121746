# Waits until the test process is gone, then ends its PgBouncer and removes the folder.
#
# $1 is the folder. Standard input is a pipe whose other end only the test process holds.

# Whoever signals everything signals the test process too, and its end is what counts.
trap '' INT TERM HUP

while read -r _; do :; done

# More than once, as it may have only just been started. Without its folder it does not start.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    pid=$(cat "$1/pid" 2>/dev/null)
    # There is nothing that it would have to save.
    case $pid in '' | *[!0-9]*) ;; *) kill -KILL "$pid" 2>/dev/null ;; esac
    rm -rf "$1" && sleep 0.05 && [ ! -e "$1" ] && exit 0
    sleep 0.2
done
exit 1
