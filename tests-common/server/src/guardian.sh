# Waits until the test process is gone, then stops its server and removes the folder.
#
# $1 is the folder. Only the test process holds the other end of standard input, which is a pipe: end of file
# means that the test process has dropped the server, has exited, or was killed.

# A signal to all processes also ends the test process, which ends the input.
trap '' INT TERM HUP

# A line contains the process id of the program that works in the folder, or is empty if there is none.
program=
while read -r line; do program=$line; done

pid_file=$1/data/postmaster.pid

# Waits up to 10 s until the process $1 ends or its file $2 is gone, which the process removes at its end.
# `kill -0` also succeeds for a zombie, hence the file and the limit.
ends() {
    tries=0
    while kill -0 "$1" 2>/dev/null && [ -e "$2" ]; do
        tries=$((tries + 1))
        [ "$tries" -gt 200 ] && return 1
        sleep 0.05
    done
}

stop() {
    pid=$(head -n 1 "$pid_file" 2>/dev/null)
    case $pid in '' | *[!0-9]*) return ;; esac
    # A frozen process does not react to other signals.
    [ -e "$1/frozen" ] && xargs kill -CONT <"$1/frozen" 2>/dev/null
    kill -QUIT "$pid" 2>/dev/null
    ends "$pid" "$pid_file" || kill -KILL "$pid" 2>/dev/null
}

# An initdb whose files vanish would leave shared memory behind.
[ -n "$program" ] && ends "$program" "$1"

# Repeated, since a postmaster that has just been started may still be writing.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    stop "$1"
    rm -rf "$1" && sleep 0.05 && [ ! -e "$1" ] && exit 0
    sleep 0.2
done
exit 1
