# SPDX-License-Identifier: GPL-2.0-or-later
# fish completion for bpftune(8)

# The words before the one to complete, with quotes and backslashes taken away, and nothing expanded.
function __bpftune_words
    commandline -opc
end

# Of these words the command and its operands, one a line. --all stands in the place of a container, wherever it is.
function __bpftune_operands
    set -l skip 0
    set -l all
    set -l operands
    for word in (__bpftune_words)[2..-1]
        if test $skip = 1
            set skip 0
            continue
        end
        switch $word
            case --run-dir --plugin-dir --lines -n --output -o --apply-hints --listen
                set skip 1
            case --all
                set all $word
            case '-*'
            case '*'
                set -a operands $word
        end
    end
    set operands $operands[1] $all $operands[2..-1]
    test (count $operands) -eq 0; or printf '%s\n' $operands
end

# Whether the command is one of $argv[2..-1], and has $argv[1] operands already.
function __bpftune_is_at
    set -l operands (__bpftune_operands)
    test (count $operands) -eq (math $argv[1] + 1); and contains -- $operands[1] $argv[2..-1]
end

function __bpftune_uses
    contains -- (__bpftune_operands)[1] $argv
end

function __bpftune_has_no_command
    test (count (__bpftune_operands | string match -v -- --all)) -eq 0
end

# The names in this array of `bpftune status --json`, one a line; none that would be taken for an option. In these names the
# supervisor has written each character that controls a terminal as \xNN. fish quotes them.
function __bpftune_names
    set -l words (__bpftune_words)
    set -l run_dir
    for i in (seq 2 (count $words))
        switch $words[$i]
            case --run-dir
                set run_dir --run-dir $words[(math $i + 1)]
            case '--run-dir=*'
                set run_dir $words[$i]
        end
    end
    command $words[1] status --json $run_dir 2>/dev/null |
        sed -n '/^  "'$argv[1]'": \[/,/^  \]/{s/^      "name": "\([^-].*\)",\{0,1\}$/\1/;T;s/\\\\\(["\\\\]\)/\1/g;p;}'
end

complete -c bpftune -f
complete -c bpftune -n __bpftune_has_no_command -a run -d 'the supervisor, in the foreground'
complete -c bpftune -n __bpftune_has_no_command -a status -d 'what was changed, from which value to which'
complete -c bpftune -n __bpftune_has_no_command -a watch -d 'the same while it changes, and limits met'
complete -c bpftune -n __bpftune_has_no_command -a log -d 'what was changed, and why'
complete -c bpftune -n __bpftune_has_no_command -a report -d 'a page of what was tuned, with plots'
complete -c bpftune -n __bpftune_has_no_command -a metrics -d 'the same as numbers, for Prometheus'
complete -c bpftune -n __bpftune_has_no_command -a rollback -d 'put initial values back'
complete -c bpftune -n __bpftune_has_no_command -a resume -d 'a tuner that stepped aside goes on'
complete -c bpftune -n __bpftune_has_no_command -a off -d 'turn a tuner off, or all'
complete -c bpftune -n __bpftune_has_no_command -a on -d 'turn a tuner on, or all'
complete -c bpftune -n __bpftune_has_no_command -a tuners -d 'loaded tuners and their hooks'
complete -c bpftune -n __bpftune_has_no_command -a advise -d 'what sysctl.d files do, and where'
complete -c bpftune -n __bpftune_has_no_command -a probe -d 'what this kernel supports'

complete -c bpftune -n '__bpftune_is_at 0 status watch log report rollback resume off on' -a '(__bpftune_names instances)' -d container
complete -c bpftune -n '__bpftune_is_at 1 resume off on' -a '(__bpftune_names tuners)' -d tuner

complete -c bpftune -n '__bpftune_uses status rollback off on' -l all -d 'all containers, and the host'
complete -c bpftune -n '__bpftune_uses status log rollback tuners' -l json -d 'print JSON'
complete -c bpftune -n '__bpftune_uses log' -l follow -s f -d 'go on with each new record'
complete -c bpftune -n '__bpftune_uses log' -l lines -s n -x -d 'the last so many records'
complete -c bpftune -n '__bpftune_uses metrics' -l listen -x -d 'serve them at this address and port'
complete -c bpftune -n '__bpftune_uses report metrics' -l output -s o -r -F -d 'the file to write'
complete -c bpftune -n '__bpftune_uses advise' -F
complete -c bpftune -n '__bpftune_uses advise' -l apply-hints -x -a '(__bpftune_names instances)' -d 'its values for its runtime'
complete -c bpftune -n '__bpftune_uses run rollback' -l dry-run -d 'change nothing'
complete -c bpftune -n '__bpftune_uses rollback' -l offline -d 'while no supervisor runs'
complete -c bpftune -n '__bpftune_uses run' -l stderr -d 'log to standard error'
complete -c bpftune -n '__bpftune_uses run' -l debug -d "libbpf's own messages"
complete -c bpftune -n '__bpftune_uses run' -l rollback -d 'put initial values back at the end'
complete -c bpftune -n '__bpftune_uses run probe' -l plugin-dir -x -a '(__fish_complete_directories)' -d 'where the tuners are'
complete -c bpftune -l run-dir -x -a '(__fish_complete_directories)' -d "the supervisor's directory"
complete -c bpftune -l help -s h -d 'show the usage'
complete -c bpftune -n __bpftune_has_no_command -l version -d 'show the version'
