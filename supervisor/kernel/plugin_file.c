// SPDX-License-Identifier: GPL-2.0-or-later
#include "supervisor/kernel/plugin_file.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ipc/cleanup.h"
#include "supervisor/kernel/trust.h"

#ifndef MFD_EXEC
#define MFD_EXEC 0x10U /* Linux 6.3: for what vm.memfd_noexec says of others */
#endif

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

/* Whether nobody else can put files beside it. */
static bool is_dir_trusted(const char *path, char *ret_why, size_t size)
{
	_cleanup_close_ int fd = -1;
	char copy[PATH_MAX];

	snprintf(copy, sizeof(copy), "%s", path);
	fd = trust_open(dirname(copy), ret_why, size);
	return fd >= 0;
}

int plugin_file_open(const char *path, struct plugin_file *ret_file, char *ret_why, size_t size)
{
	_cleanup_close_ int found = is_dir_trusted(path, ret_why, size) ? trust_open(path, ret_why, size) : -1;
	_cleanup_close_ int fd = -1;
	char name[32];
	struct stat st;

	if (found < 0)
		return -1;
	snprintf(name, sizeof(name), "/proc/self/fd/%d", found);
	if (fstat(found, &st) == 0 && S_ISREG(st.st_mode))
		fd = open(name, O_RDONLY | O_CLOEXEC);
	else
		errno = ENOEXEC;
	if (fd < 0)
		snprintf(ret_why, size, errno == ENOEXEC ? "it is no regular file" : "cannot open it: %s",
			 strerror(errno));
	else
		*ret_file = identity(&st);
	return take_fd(&fd);
}

/* --- what it is --------------------------------------------------------------------------------- */

static void elf_endp(Elf **elf)
{
	elf_end(*elf); /* of NULL, too */
}

static bool is_within(uint64_t offset, uint64_t bytes, uint64_t size)
{
	return bytes <= size && offset <= size - bytes;
}

static bool is_whole(Elf *elf, off_t size)
{
	GElf_Ehdr header;
	GElf_Phdr program;

	if (!gelf_getehdr(elf, &header) || header.e_type != ET_DYN || gelf_getclass(elf) != (int)sizeof(void *) / 4 ||
	    !is_within(header.e_shoff, (uint64_t)header.e_shnum * header.e_shentsize, size))
		return false;
	for (int i = 0; i < header.e_phnum; i++)
		if (!gelf_getphdr(elf, i, &program) || !is_within(program.p_offset, program.p_filesz, size))
			return false;
	return true;
}

static bool is_tuners(const GElf_Nhdr *header, const char *owner)
{
	return header->n_type == BPFTUNE_NOTE_TUNER && header->n_namesz == sizeof(BPFTUNE_NOTE_OWNER) &&
	       header->n_descsz == sizeof(struct bpftune_note) &&
	       !memcmp(owner, BPFTUNE_NOTE_OWNER, sizeof(BPFTUNE_NOTE_OWNER));
}

/* Of the notes of a segment; false: a tuner's is not among them. */
static bool find_note(Elf_Data *notes, struct bpftune_note *ret_note)
{
	size_t at = 0, owner, content;
	GElf_Nhdr header;

	while ((at = gelf_getnote(notes, at, &header, &owner, &content)) > 0)
		if (is_tuners(&header, (const char *)notes->d_buf + owner)) {
			memcpy(ret_note, (const char *)notes->d_buf + content, sizeof(*ret_note));
			return memchr(ret_note->name, '\0', sizeof(ret_note->name)) && *ret_note->name;
		}
	return false;
}

int plugin_file_note(int fd, struct bpftune_note *ret_note)
{
	_cleanup_(elf_endp) Elf *elf = elf_version(EV_CURRENT) == EV_NONE ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	struct bpftune_note note;
	GElf_Phdr program;
	struct stat st;

	if (!elf || fstat(fd, &st) < 0 || !is_whole(elf, st.st_size))
		return -ENOEXEC;
	for (int i = 0; gelf_getphdr(elf, i, &program); i++) {
		Elf_Data *notes = program.p_type != PT_NOTE
					  ? NULL
					  : elf_getdata_rawchunk(elf, program.p_offset, program.p_filesz,
								 program.p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);

		if (notes && find_note(notes, &note)) {
			*ret_note = note;
			return 0;
		}
	}
	return -ENOENT;
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
