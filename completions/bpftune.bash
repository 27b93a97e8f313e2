# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for bpftune(8)

# _bpftune_names SECTION COMMAND [--run-dir DIR]: the names in this array of `bpftune status --json`. A user or a container may
# have made a name of anything, and it goes to a shell: only those of plain characters are offered.
_bpftune_names()
{
	local section=$1 program=$2
	shift 2
	command "$program" status --json "$@" 2>/dev/null |
		sed -n '/^  "'"$section"'": \[/,/^  \]/s/^      "name": "\([[:alnum:]_.:@+/-]*\)",\{0,1\}$/\1/p'
}

_bpftune()
{
	local -a words run_dir=() operands=() all=()
	local line=${COMP_LINE:0:COMP_POINT} cur command='' candidates='' word i
	local -A options=(
		[run]='--stderr --debug --dry-run --rollback --plugin-dir'
		[status]='--all --json'
		[log]='--json --follow --lines -f -n'
		[report]='--output -o'
		[rollback]='--all --dry-run --json --offline'
		[resume]=''
		[off]='--all'
		[on]='--all'
		[tuners]='--json'
		[advise]='--apply-hints'
		[probe]='--plugin-dir'
	)

	# The line's own words: bash has cut COMP_WORDS at the ':' of pid:N and the '@' of NAME@ID.
	read -ra words <<<"$line"
	[[ $line != *[[:space:]] ]] || words+=('')
	cur=${words[-1]}
	COMPREPLY=()

	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		word=${words[i]}
		case $word in
		--run-dir)
			run_dir=(--run-dir "${words[i + 1]}")
			((++i))
			;;
		--run-dir=*) run_dir=("$word") ;;
		--plugin-dir | --apply-hints | --lines | -n | --output | -o) ((++i)) ;;
		--all) operands=("$word" "${operands[@]}") ;; # in the place of a container
		-*) ;;
		*)
			if [[ $command ]]; then
				operands+=("$word")
			else
				command=$word
			fi
			;;
		esac
	done

	case ${words[-2]} in
	--run-dir | --plugin-dir)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -d -- "$cur")
		return
		;;
	--output | -o)
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
		;;
	--lines | -n) return ;;
	esac

	if [[ $command == advise && ${words[-2]} != --apply-hints && $cur != -* ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [[ ${words[-2]} == --apply-hints ]]; then
		candidates=$(_bpftune_names instances "${words[0]}" "${run_dir[@]}")
	elif [[ $cur == -* ]]; then
		candidates="${options[$command]-} --run-dir --help"
		[[ $command ]] || candidates+=' --version'
	elif [[ ! $command ]]; then
		candidates=${!options[*]}
	else
		case $command:${#operands[@]} in
		status:0 | log:0 | report:0 | rollback:0 | resume:0 | off:0 | on:0)
			candidates=$(_bpftune_names instances "${words[0]}" "${run_dir[@]}")
			;;
		resume:1 | off:1 | on:1)
			candidates=$(_bpftune_names tuners "${words[0]}" "${run_dir[@]}")
			;;
		esac
	fi
	# Not by compgen -W, which expands each word: $(...) would be run.
	read -rd '' -a all <<<"$candidates"
	for word in "${all[@]}"; do
		[[ $word != "$cur"* ]] || COMPREPLY+=("$word")
	done

	# Of a word that bash has cut, it replaces the last piece only.
	word=${COMP_WORDS[COMP_CWORD]}
	[[ $word != [:=@]* ]] || word=
	COMPREPLY=("${COMPREPLY[@]#"${cur%"$word"}"}")
}

complete -F _bpftune bpftune
