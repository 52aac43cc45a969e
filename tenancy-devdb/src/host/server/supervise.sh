# Starts Postgres and stops it when the last process that leased it is gone.
#
# stdin is the read end of a FIFO whose write end every client process keeps open: when the last
# one dies, however it dies, a read meets the end of file. A new client writes a token and waits
# until a file of that name stands in the directory $1: then this loop has seen it, and will not
# end before the client does. $2 and what follows is the command that starts Postgres.
acks=$1
shift

leases() {
    idle=0
    # Three tenths of a second bridge the gap between one test process and the next.
    while [ "$idle" -lt 15 ]; do
        if IFS= read -r token; then
            idle=0
            case $token in
            '' | *[!0-9-]*) ;;
            *) : >"$acks/$token" ;;
            esac
        else
            idle=$((idle + 1))
            sleep 0.02
        fi
    done
}

supervise() {
    trap '' HUP
    "$@" </dev/null 3<&- &
    postgres=$!
    (
        leases <&3
        exec 3<&-
        # A fast stop writes a checkpoint; where that takes too long, recovery has to do it.
        kill -INT "$postgres"
        sleep 0.3
        kill -QUIT "$postgres"
    ) &
    reader=$!
    # From here on only the reader holds the FIFO: when Postgres dies, so does the lease.
    exec 3<&-
    wait "$postgres"
    kill "$reader"
}

exec 3<&0 </dev/null
supervise "$@" &
