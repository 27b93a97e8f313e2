# SPDX-License-Identifier: GPL-2.0-or-later
# bash completion for bpftune(8)

# _bpftune_names SECTION COMMAND [--run-dir DIR]: the names in this array of `bpftune status --json`, one a line; none that would
# be taken for an option. In these names the supervisor has written each character that controls a terminal as \xNN.
_bpftune_names()
{
	local section=$1 program=$2
	shift 2
	command "$program" status --json "$@" 2>/dev/null |
		sed -n '/^  "'"$section"'": \[/,/^  \]/{s/^      "name": "\([^-].*\)",\{0,1\}$/\1/;T;s/\\\(["\\]\)/\1/g;p;}'
}

# _bpftune_split LINE: its words as the shell would read them into the caller's `words`, nothing expanded; of the last the
# text as it stands into `raw`, and the quote that is still open into `quote`.
_bpftune_split()
{
	local line=$1 word='' char i in_word=''

	words=() raw='' quote=''
	for ((i = 0; i < ${#line}; i++)); do
		char=${line:i:1}
		if [[ ! $quote && $char == [[:space:]] ]]; then
			[[ ! $in_word ]] || words+=("$word")
			word='' raw='' in_word=''
			continue
		fi
		in_word=1
		raw+=$char
		case $quote$char in
		\' | \") quote=$char ;;
		\'\' | \"\") quote='' ;;
		\\ | \"\\)
			((++i))
			char=${line:i:1}
			raw+=$char
			[[ ! $quote || $char == [\"\\\$\`] ]] || word+=\\
			word+=$char
			;;
		*) word+=$char ;;
		esac
	done
	words+=("$word")
}

# _bpftune_unquote WORD: what the shell makes of it.
_bpftune_unquote()
{
	local -a words
	local raw quote

	_bpftune_split "$1"
	printf '%s' "${words[-1]}"
}

# _bpftune_quote TEXT QUOTE: TEXT as it must be typed after that open quote, or none, to be one word that is not expanded.
_bpftune_quote()
{
	local text=$1 char i

	if [[ ! $2 ]]; then
		printf '%q' "$text"
		return
	fi
	for ((i = 0; i < ${#text}; i++)); do
		char=${text:i:1}
		case $2$char in
		\'\') printf "'\\\\''" ;;
		\"[\"\\\$\`]) printf '\\%s' "$char" ;;
		\"!) printf "\"'!'\"" ;; # of the history: a backslash before it would stay
		*) printf '%s' "$char" ;;
		esac
	done
	# Where the last character is a quote, readline takes it for the closing one.
	case $2${char-} in
	\'\' | \"[\"!]) printf '%s' "$2" ;;
	esac
}

# _bpftune COMMAND WORD: bash replaces WORD, which is the last word of the line or, cut at a ':', '=' or '@', its end.
_bpftune()
{
	local -a words run_dir=() operands=() candidates=()
	local raw quote cur before command='' word i
	local -A options=(
		[run]='--stderr --debug --dry-run --rollback --plugin-dir'
		[status]='--all --json'
		[watch]=''
		[log]='--json --follow --lines -f -n'
		[report]='--output -o'
		[metrics]='--output --listen -o'
		[rollback]='--all --dry-run --json --offline'
		[resume]=''
		[off]='--all'
		[on]='--all'
		[tuners]='--json'
		[advise]='--apply-hints'
		[probe]='--plugin-dir'
	)

	COMPREPLY=()
	_bpftune_split "${COMP_LINE:0:COMP_POINT}"
	cur=${words[-1]}
	for ((i = 1; i < ${#words[@]} - 1; i++)); do
		word=${words[i]}
		case $word in
		--run-dir)
			run_dir=(--run-dir "${words[i + 1]}")
			((++i))
			;;
		--run-dir=*) run_dir=("$word") ;;
		--plugin-dir | --apply-hints | --listen | --lines | -n | --output | -o) ((++i)) ;;
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

	case ${words[-2]-} in
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
	--lines | -n | --listen) return ;;
	esac

	if [[ $command == advise && ${words[-2]-} != --apply-hints && $cur != -* ]]; then
		compopt -o filenames 2>/dev/null
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		return
	fi
	if [[ ${words[-2]-} == --apply-hints ]]; then
		mapfile -t candidates < <(_bpftune_names instances "${words[0]}" "${run_dir[@]}")
	elif [[ $cur == -* ]]; then
		read -ra candidates <<<"${options[$command]-} --run-dir --help"
		[[ $command ]] || candidates+=(--version)
	elif [[ ! $command ]]; then
		candidates=("${!options[@]}")
	else
		case $command:${#operands[@]} in
		status:0 | watch:0 | log:0 | report:0 | rollback:0 | resume:0 | off:0 | on:0)
			mapfile -t candidates < <(_bpftune_names instances "${words[0]}" "${run_dir[@]}")
			;;
		resume:1 | off:1 | on:1)
			mapfile -t candidates < <(_bpftune_names tuners "${words[0]}" "${run_dir[@]}")
			;;
		esac
	fi

	# Of the last word, what bash leaves as it is; an open quote goes before that.
	before=$(_bpftune_unquote "${raw%"$2"}")
	# Not by compgen -W, which expands each word: $(...) would be run.
	for word in "${candidates[@]}"; do
		[[ $word == "$cur"* ]] || continue
		COMPREPLY+=("$(_bpftune_quote "${word#"$before"}" "$quote")")
	done
}

complete -F _bpftune bpftune
