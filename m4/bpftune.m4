# SPDX-License-Identifier: GPL-2.0-or-later

# BPFTUNE_MISSING(WHAT, DEBIAN-PACKAGE, FEDORA-PACKAGE)
# Note that WHAT is not there. Nothing stops until BPFTUNE_REPORT_MISSING, so that
# one run of configure names everything that has to be installed.
AC_DEFUN([BPFTUNE_MISSING],
[bpftune_missing="$bpftune_missing
  $1 not found: install $2 (Debian) or $3 (Fedora)"])

AC_DEFUN([BPFTUNE_REPORT_MISSING],
[AS_IF([test -n "$bpftune_missing"],
	[AC_MSG_ERROR([something that bpftune needs is missing:
$bpftune_missing
])])])

# BPFTUNE_PKG(VARIABLE, PKG-CONFIG-SPEC, DEBIAN-PACKAGE, FEDORA-PACKAGE)
AC_DEFUN([BPFTUNE_PKG],
[PKG_CHECK_MODULES([$1], [$2], [], [BPFTUNE_MISSING([$2], [$3], [$4])])])

# BPFTUNE_COMPILE_FLAGS(VARIABLE, FLAGS): append those that the compiler takes.
AC_DEFUN([BPFTUNE_COMPILE_FLAGS],
[for flag in m4_normalize([$2]); do
	AC_MSG_CHECKING([whether $CC takes $flag])
	bpftune_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS -Werror $flag"
	AC_COMPILE_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes]); $1="$$1 $flag"],
		[AC_MSG_RESULT([no])])
	CFLAGS=$bpftune_save_CFLAGS
done
AC_SUBST([$1])])

# BPFTUNE_LINK_FLAGS(VARIABLE, FLAGS): append those that the linker takes.
AC_DEFUN([BPFTUNE_LINK_FLAGS],
[for flag in m4_normalize([$2]); do
	AC_MSG_CHECKING([whether the linker takes $flag])
	bpftune_save_LDFLAGS=$LDFLAGS
	LDFLAGS="$LDFLAGS $flag"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes]); $1="$$1 $flag"],
		[AC_MSG_RESULT([no])])
	LDFLAGS=$bpftune_save_LDFLAGS
done
AC_SUBST([$1])])

# BPFTUNE_SANITIZERS
# --enable-sanitizers[=LIST] sets SANITIZE_CFLAGS, for compiling and linking: the program, the tuners, the
# unit tests, never BPF objects. No finding is only said (-fno-sanitize-recover): the process ends.
AC_DEFUN([BPFTUNE_SANITIZERS],
[AC_ARG_ENABLE([sanitizers],
	[AS_HELP_STRING([--enable-sanitizers@<:@=LIST@:>@],
		[find errors while running, with the compiler's -fsanitize=LIST (address,undefined)])],
	[], [enable_sanitizers=no])
AS_IF([test "$enable_sanitizers" = yes], [enable_sanitizers=address,undefined])
TESTS_SLOWNESS=1
AS_IF([test "$enable_sanitizers" != no],
	[TESTS_SLOWNESS=3
	SANITIZE_CFLAGS="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"
	AC_MSG_CHECKING([whether $CC links with -fsanitize=$enable_sanitizers])
	bpftune_save_CFLAGS=$CFLAGS
	CFLAGS="$CFLAGS $SANITIZE_CFLAGS"
	AC_LINK_IFELSE([AC_LANG_PROGRAM()],
		[AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CC cannot link with -fsanitize=$enable_sanitizers; its message is in config.log.
  gcc needs libasan and libubsan (Debian: libgcc-12-dev has them; Fedora: libasan libubsan),
  clang its runtime (Debian: libclang-rt-14-dev; Fedora: compiler-rt)])])
	CFLAGS=$bpftune_save_CFLAGS])
AC_SUBST([SANITIZE_CFLAGS])
AC_SUBST([TESTS_SLOWNESS])])

# BPFTUNE_BPF_TOOLCHAIN
# Sets CLANG, BPFTOOL, BPF_CFLAGS (how to compile) and BPF_INCLUDES (where the host keeps
# its headers). Both tools are tried out on a small program, built as the real ones are:
# a clang without the BPF target, and a distribution's bpftool wrapper that
# finds no bpftool for the running kernel, both exist under the right name.
AC_DEFUN([BPFTUNE_BPF_TOOLCHAIN],
[AC_ARG_VAR([CLANG], [clang with the BPF target])
AC_ARG_VAR([BPFTOOL], [bpftool that can generate skeletons])

# No architecture define and no vmlinux.h: the objects are the same for every kernel.
# -mcpu: pinned, because its default differs between releases of clang; 5.15 runs v3.
# -fno-stack-protector: some distributions turn it on, and BPF has none.
BPF_CFLAGS="-target bpf -mcpu=v3 -std=gnu11 -g -O2 -fno-stack-protector -Wall -Wextra -Wno-unused-parameter"
AC_SUBST([BPF_CFLAGS])

# For another target, clang does not look in the host's own directories, and multiarch
# distributions keep <asm/types.h> there. They come after clang's: -idirafter.
AC_MSG_CHECKING([where $CC looks for system headers])
BPF_INCLUDES=$(LC_ALL=C $CC -v -E -xc - </dev/null 2>&1 |
	sed -n '/search starts here:$/,/^End of search list/s|^ \(/.*\)$|-idirafter \1|p' | tr '\n' ' ')
AC_MSG_RESULT([$BPF_INCLUDES])
AC_SUBST([BPF_INCLUDES])

cat >conftest.bpf.c <<_ACEOF
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

struct task_struct {
	int pid;
} __attribute__((preserve_access_index));

const volatile int knob = 1;
int seen;

SEC("raw_tp/sched_process_exit")
int probe(struct bpf_raw_tracepoint_args *ctx)
{
	seen = knob + BPF_CORE_READ((struct task_struct *)ctx->args[[0]], pid);
	return 0;
}

char LICENSE[[]] SEC("license") = "GPL";
_ACEOF

AC_CACHE_CHECK([for a clang with the BPF target], [ac_cv_path_CLANG],
[AC_PATH_PROGS_FEATURE_CHECK([CLANG],
	[clang clang-22 clang-21 clang-20 clang-19 clang-18 clang-17 clang-16 clang-15 clang-14],
	[AS_IF([echo 'int probe;' | $ac_path_CLANG -target bpf -O2 -g -xc -c - -o conftest.o >&AS_MESSAGE_LOG_FD 2>&1],
		[ac_cv_path_CLANG=$ac_path_CLANG ac_path_CLANG_found=:])],
	[ac_cv_path_CLANG=no])])
CLANG=$ac_cv_path_CLANG
AC_SUBST([CLANG])

bpftune_probe=no
AS_IF([test "$CLANG" = no],
	[BPFTUNE_MISSING([clang with the BPF target], [clang], [clang])],
	[test -n "$LIBBPF_LIBS"],
	[AC_MSG_CHECKING([whether $CLANG builds a BPF program])
	AS_IF([$CLANG $BPF_CFLAGS $LIBBPF_CFLAGS $BPF_INCLUDES -c conftest.bpf.c -o conftest.bpf.o >&AS_MESSAGE_LOG_FD 2>&1],
		[bpftune_probe=yes
		AC_MSG_RESULT([yes])],
		[AC_MSG_RESULT([no])
		AC_MSG_ERROR([$CLANG cannot build a BPF program; its message is in config.log.
  If it misses <linux/bpf.h>: install linux-libc-dev (Debian) or kernel-headers (Fedora)])])])

# Without an object to try it on (libbpf or clang is missing), be content with a name.
bpftune_try_bpftool() {
	test "$bpftune_probe" = no ||
	{ "$[1]" gen object conftest.o conftest.bpf.o && "$[1]" gen skeleton conftest.o name probe_bpf
	} >&AS_MESSAGE_LOG_FD 2>&1
}
AC_CACHE_CHECK([for a bpftool that generates skeletons], [ac_cv_path_BPFTOOL],
[AC_PATH_PROGS_FEATURE_CHECK([BPFTOOL], [bpftool],
	[AS_IF([bpftune_try_bpftool $ac_path_BPFTOOL],
		[ac_cv_path_BPFTOOL=$ac_path_BPFTOOL ac_path_BPFTOOL_found=:])],
	[ac_cv_path_BPFTOOL=no],
	[$PATH$PATH_SEPARATOR/usr/sbin$PATH_SEPARATOR/sbin$PATH_SEPARATOR/usr/local/sbin])])
# Once more, as one that the user named has not been tried.
AS_IF([test "$ac_cv_path_BPFTOOL" = no || ! bpftune_try_bpftool "$ac_cv_path_BPFTOOL"],
	[BPFTUNE_MISSING([bpftool that generates skeletons], [bpftool], [bpftool])],
	[BPFTOOL=$ac_cv_path_BPFTOOL])
AC_SUBST([BPFTOOL])
rm -f conftest.bpf.c conftest.bpf.o conftest.o
])
