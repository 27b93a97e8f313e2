// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/plugin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <link.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* Linux 6.3: for what vm.memfd_noexec says of others */
#endif
#define ABI_SYMBOL "bpftune_tuner"

bool plugin_file_is_tuner(const char *name)
{
	size_t n = strlen(name);

	return n > 3 && name[0] != '.' && !strcmp(name + n - 3, ".so");
}

static struct plugin_file identity(const struct stat *st)
{
	return (struct plugin_file){ st->st_dev, st->st_ino, st->st_size, st->st_mtim };
}

int plugin_file_identify(const char *path, struct plugin_file *ret_file)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return -errno;
	*ret_file = identity(&st);
	return 0;
}

bool plugin_file_is_same(const struct plugin_file *a, const struct plugin_file *b)
{
	return a->device == b->device && a->inode == b->inode && a->size == b->size &&
	       a->modified.tv_sec == b->modified.tv_sec && a->modified.tv_nsec == b->modified.tv_nsec;
}

/* --- whose it is -------------------------------------------------------------------------------- */

static bool is_roots(const struct stat *st, const char *what, char *ret_why, size_t size)
{
	if (st->st_uid != 0)
		snprintf(ret_why, size, "%s belongs to user %u, not to root (chown root)", what, st->st_uid);
	else if (st->st_mode & S_IWOTH)
		snprintf(ret_why, size, "others may write %s (chmod o-w)", what);
	else if (st->st_mode & S_IWGRP && st->st_gid != 0)
		snprintf(ret_why, size, "group %u may write %s (chmod g-w)", st->st_gid, what);
	else
		return true;
	return false;
}

int plugin_file_open(const char *dir, const char *name, bool roots_only, struct plugin_file *ret_file, char *ret_why,
		     size_t size)
{
	_cleanup_close_ int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int fd = dir_fd < 0 ? -1 : openat(dir_fd, name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	struct stat of_dir, st;

	if (fd < 0 || fstat(dir_fd, &of_dir) < 0 || fstat(fd, &st) < 0)
		snprintf(ret_why, size, "cannot open it: %s", strerror(errno));
	else if (!S_ISREG(st.st_mode))
		snprintf(ret_why, size, "it is no regular file");
	else if (!roots_only ||
		 (is_roots(&of_dir, "its directory", ret_why, size) && is_roots(&st, "it", ret_why, size))) {
		*ret_file = identity(&st);
		return take_fd(&fd);
	}
	return -1;
}

/* --- what it is --------------------------------------------------------------------------------- */

static void elf_endp(Elf **elf)
{
	elf_end(*elf); /* of NULL, too */
}

static bool is_whole(Elf *elf, off_t size)
{
	GElf_Ehdr header;
	GElf_Phdr program;

	if (!gelf_getehdr(elf, &header) || header.e_type != ET_DYN || gelf_getclass(elf) != (int)sizeof(void *) / 4 ||
	    header.e_shoff + (uint64_t)header.e_shnum * header.e_shentsize > (uint64_t)size)
		return false;
	for (int i = 0; i < header.e_phnum; i++)
		if (!gelf_getphdr(elf, i, &program) || program.p_offset + program.p_filesz > (uint64_t)size)
			return false;
	return true;
}

/* Where the symbol's bytes are in the file; -1: it has none. */
static off_t offset_of(Elf *elf, const char *name)
{
	Elf_Scn *section = NULL;
	GElf_Shdr table, home;
	GElf_Sym symbol;

	while ((section = elf_nextscn(elf, section))) {
		Elf_Data *data = gelf_getshdr(section, &table) && table.sh_type == SHT_DYNSYM
					 ? elf_getdata(section, NULL)
					 : NULL;

		for (int i = 0; data && gelf_getsym(data, i, &symbol); i++) {
			const char *found = elf_strptr(elf, table.sh_link, symbol.st_name);

			if (found && !strcmp(found, name) && symbol.st_shndx != SHN_UNDEF &&
			    gelf_getshdr(elf_getscn(elf, symbol.st_shndx), &home))
				return symbol.st_value - home.sh_addr + home.sh_offset;
		}
	}
	return -1;
}

int plugin_file_abi(int fd, uint32_t *ret_abi)
{
	_cleanup_(elf_endp) Elf *elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	struct stat st;
	uint32_t abi;
	off_t offset;

	if (!elf || fstat(fd, &st) < 0 || !is_whole(elf, st.st_size))
		return -ENOEXEC;
	offset = offset_of(elf, ABI_SYMBOL);
	if (offset < 0)
		return -ENOENT;
	if (pread(fd, &abi, sizeof(abi), offset) != sizeof(abi))
		return -ENOEXEC;
	*ret_abi = abi;
	return 0;
}

int plugin_file_copy(int fd, const char *name)
{
	_cleanup_close_ int copy = memfd_create(name, MFD_CLOEXEC | MFD_EXEC);
	off_t offset = 0;
	ssize_t n = 0;

	if (copy < 0 && errno == EINVAL) /* before Linux 6.3 */
		copy = memfd_create(name, MFD_CLOEXEC);
	if (copy < 0)
		return -errno;
	while ((n = sendfile(copy, fd, &offset, 1 << 30)) > 0)
		;
	return n < 0 ? -errno : take_fd(&copy);
}
