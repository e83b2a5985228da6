/* What a file is that is about to be executed: whether our library may go with it, and what runs untraced and why.
 * Reads small pieces of the file, follows "#!" lines as the kernel does (fs/binfmt_script.c), and in doubt takes it for an
 * ordinary program. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>

#include "exec.h"
#include "system.h"

#define MOST_SCRIPTS 5u     /* "#!" lines followed; the kernel refuses more */
#define LINE_LIMIT 256u     /* bytes of such a line (BINPRM_BUF_SIZE) */
#define PATH_LIMIT 512u     /* bytes of a path found in PATH; longer ones are not looked into */
#define TOLD_LIMIT 384u     /* bytes of a path that are told */
#define MOST_HEADERS 64u    /* program headers */
#define MOST_DYNAMIC 256u   /* entries of the dynamic section */
#define MOST_NAMES 8192u    /* bytes of section names */
#define MOUNTED_NOSUID 2    /* ST_NOSUID of statfs's f_flags */

#if defined(__x86_64__)
#define OUR_MACHINE EM_X86_64
#else
#define OUR_MACHINE EM_AARCH64
#endif

/* What is known of an image. */
enum kind_of_image {
    ORDINARY,  /* dynamically linked for our machine, or unknown */
    STATIC,
    GO,        /* dynamically linked; environment.c leaves it alone */
    GO_UNSAID, /* the same, but its build id was left out: our start could not tell it */
    SANITIZED,
    FOREIGN,
    PRIVILEGED,
    SECRETLY_PRIVILEGED, /* by what the process is, not by the file: nothing to be said of the file */
};

static const struct {
    bool carries;
    const char *remark; /* after the path; NULL: nothing to say */
} KINDS[] = {
    /* A static program ignores LD_PRELOAD and hands it on to its children. */
    [ORDINARY] = {true, NULL},
    [STATIC] = {true, " is statically linked: it runs untraced (engine agent; -e ptrace traces it)"},
    [GO] = {true, " is a Go program: it runs untraced (engine agent; -e ptrace traces it)"},
    [GO_UNSAID] = {false, " is a Go program: it runs untraced (engine agent; -e ptrace traces it)"},
    /* AddressSanitizer's runtime refuses to start behind another library; the loader tells of a library for another
     * machine; in a setuid program it ignores ours, and what that program starts must not run what its user chose. */
    [SANITIZED] = {false, " is built with a sanitizer, which forbids preloading: it runs untraced (engine agent)"},
    [FOREIGN] = {false, " is built for another machine: it runs untraced"},
    [PRIVILEGED] = {false, " is a setuid program: it runs untraced"},
    [SECRETLY_PRIVILEGED] = {false, NULL},
};

struct file {
    long fd; /* negative: it can't be read */
    struct stat status;
};

static u64 read_at(const struct file *file, void *to, u64 size, u64 at) {
    long got = raw_call(SYS_pread64, file->fd, (long)to, (long)size, (long)at, 0, 0);
    return got > 0 ? (u64)got : 0;
}

static bool read_all(const struct file *file, void *to, u64 size, u64 at) {
    return at < (1ull << 62) && read_at(file, to, size, at) == size;
}

/* False: nothing that could be executed. Never opens anything but regular files: opening a pipe or a device has effects. */
static bool open_file(struct file *file, int directory, const char *path, int flags) {
    int look = flags & (AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW);
    if (raw_call(SYS_newfstatat, directory, (long)path, (long)&file->status, look, 0, 0) < 0)
        return false;
    if (!S_ISREG(file->status.st_mode) || !(file->status.st_mode & 0111))
        return false;
    int how = O_RDONLY | O_CLOEXEC | (flags & AT_SYMLINK_NOFOLLOW ? O_NOFOLLOW : 0);
    if (!*path) /* AT_EMPTY_PATH: a descriptor of its own, for ours is closed */
        file->fd = raw_call(SYS_fcntl, directory, F_DUPFD_CLOEXEC, 3, 0, 0, 0);
    else
        file->fd = raw_call(SYS_openat, directory, (long)path, how, 0, 0, 0);
    return true;
}

static void close_file(const struct file *file) {
    if (file->fd >= 0)
        raw_call(SYS_close, file->fd, 0, 0, 0, 0, 0);
}

/* -- privilege */

static bool gains_capabilities(const struct file *file) {
    return file->fd >= 0 && raw_call(SYS_fgetxattr, file->fd, (long)"security.capability", 0, 0, 0, 0) > 0;
}

/* Where the kernel ignores what the file would gain. */
static bool gains_nothing(const struct file *file) {
    struct statfs mounted;
    if (raw_call(SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0, 0) == 1)
        return true;
    return file->fd >= 0 && raw_call(SYS_fstatfs, file->fd, (long)&mounted, 0, 0, 0, 0) == 0 &&
           mounted.f_flags & MOUNTED_NOSUID;
}

/* As security/commoncap.c: the loader is in its secure mode when the new effective ids aren't the real ones. */
static enum kind_of_image privilege(const struct file *file) {
    u32 mode = file->status.st_mode;
    long user = raw_call(SYS_getuid, 0, 0, 0, 0, 0, 0), group = raw_call(SYS_getgid, 0, 0, 0, 0, 0, 0);
    bool set_user = mode & S_ISUID && file->status.st_uid != (u32)user;
    bool set_group = (mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && file->status.st_gid != (u32)group;
    if ((set_user || set_group || (user && gains_capabilities(file))) && !gains_nothing(file))
        return PRIVILEGED;
    bool unlike = raw_call(SYS_geteuid, 0, 0, 0, 0, 0, 0) != user || raw_call(SYS_getegid, 0, 0, 0, 0, 0, 0) != group;
    return unlike ? SECRETLY_PRIVILEGED : ORDINARY;
}

/* -- ELF */

/* The program headers, a few at a time. */
struct headers {
    const struct file *file;
    u64 at;
    u32 count, first, held;
    Elf64_Phdr some[4];
};

static struct headers headers_of(const struct file *file, const Elf64_Ehdr *header) {
    u32 count = header->e_phentsize == sizeof(Elf64_Phdr) ? MIN(header->e_phnum, MOST_HEADERS) : 0;
    return (struct headers){.file = file, .at = header->e_phoff, .count = count};
}

/* NULL: there are no more. */
static const Elf64_Phdr *segment_at(struct headers *headers, u32 index) {
    if (index >= headers->count)
        return NULL;
    if (index < headers->first || index >= headers->first + headers->held) {
        u32 count = MIN(headers->count - index, (u32)COUNT(headers->some));
        headers->first = index;
        headers->held = 0;
        if (!read_all(headers->file, headers->some, count * sizeof(Elf64_Phdr), headers->at + index * sizeof(Elf64_Phdr)))
            return NULL;
        headers->held = count;
    }
    return &headers->some[index - headers->first];
}

static bool is_go_note(const struct file *file, const Elf64_Phdr *segment) {
    struct {
        Elf64_Nhdr header;
        char name[4];
    } entry;
    for (u64 at = 0, turns = 0; turns < 16 && at + sizeof entry <= segment->p_filesz; turns++) {
        if (!read_all(file, &entry, sizeof entry, segment->p_offset + at))
            return false;
        if (entry.header.n_type == 4 && entry.header.n_namesz == 4 && !memcmp(entry.name, "Go\0", 4))
            return true;
        at += sizeof entry.header + ((entry.header.n_namesz + 3ull) & ~3ull) + ((entry.header.n_descsz + 3ull) & ~3ull);
    }
    return false;
}

static bool has_go_note(struct headers *headers) {
    const Elf64_Phdr *segment;
    for (u32 i = 0; (segment = segment_at(headers, i)); i++)
        if (segment->p_type == PT_NOTE && is_go_note(headers->file, segment))
            return true;
    return false;
}

/* Where an address of the program lies in its file; 0: nowhere. */
static u64 offset_of(struct headers *headers, u64 address) {
    const Elf64_Phdr *segment;
    for (u32 i = 0; (segment = segment_at(headers, i)); i++)
        if (segment->p_type == PT_LOAD && address - segment->p_vaddr < segment->p_filesz)
            return address - segment->p_vaddr + segment->p_offset;
    return 0;
}

/* The runtimes that look for themselves at the head of the list of libraries, or may not be preceded by hooks. */
static bool is_sanitizer(const char *name, u64 size) {
    static const struct bytes NAMES[] = {
        {(const u8 *)"libasan.so", 10},   {(const u8 *)"libtsan.so", 10},
        {(const u8 *)"liblsan.so", 10},   {(const u8 *)"libhwasan.so", 12},
        {(const u8 *)"libclang_rt.asan", 16}, {(const u8 *)"libclang_rt.tsan", 16},
        {(const u8 *)"libclang_rt.lsan", 16}, {(const u8 *)"libclang_rt.hwasan", 18},
    };
    for (u32 i = 0; i < COUNT(NAMES); i++)
        if (size >= NAMES[i].size && !memcmp(name, NAMES[i].at, NAMES[i].size))
            return true;
    return false;
}

struct dynamic {
    u64 strings; /* the address of their table */
    u64 flags;   /* DT_FLAGS_1 */
    bool sanitized;
};

typedef void seen(struct dynamic *, const Elf64_Dyn *, const struct file *);

/* Calls `see` with each entry. */
static void walk_dynamic(const struct file *file, u64 at, u64 size, struct dynamic *found, seen *see) {
    Elf64_Dyn entries[16];
    u64 most = MIN(size / sizeof *entries, MOST_DYNAMIC);
    for (u64 i = 0; i < most; i += COUNT(entries)) {
        u64 count = MIN(most - i, COUNT(entries));
        if (!read_all(file, entries, count * sizeof *entries, at + i * sizeof *entries))
            return;
        for (u64 j = 0; j < count; j++) {
            if (entries[j].d_tag == DT_NULL)
                return;
            see(found, &entries[j], file);
        }
    }
}

static void see_tables(struct dynamic *found, const Elf64_Dyn *entry, const struct file *file) {
    (void)file;
    if (entry->d_tag == DT_STRTAB)
        found->strings = entry->d_un.d_ptr;
    else if (entry->d_tag == DT_FLAGS_1)
        found->flags = entry->d_un.d_val;
}

static void see_needed(struct dynamic *found, const Elf64_Dyn *entry, const struct file *file) {
    char name[24];
    if (entry->d_tag == DT_NEEDED && !found->sanitized)
        found->sanitized = is_sanitizer(name, read_at(file, name, sizeof name, found->strings + entry->d_un.d_val));
}

static struct dynamic read_dynamic(struct headers *headers, u64 at, u64 size) {
    struct dynamic found = {0};
    walk_dynamic(headers->file, at, size, &found, see_tables);
    found.strings = offset_of(headers, found.strings);
    if (found.strings)
        walk_dynamic(headers->file, at, size, &found, see_needed);
    return found;
}

/* Go's linker names a section of its own, whatever is stripped but the section headers themselves. */
static bool is_go(const struct file *file, const Elf64_Ehdr *header) {
    static const char SECTION[] = ".go.buildinfo";
    Elf64_Shdr names;
    char text[512];
    u64 index = header->e_shstrndx;
    if (!header->e_shnum || !read_all(file, &names, sizeof names, header->e_shoff + index * sizeof names))
        return false;
    for (u64 at = 0; at < MIN(names.sh_size, MOST_NAMES); at += sizeof text - sizeof SECTION) {
        u64 got = read_at(file, text, MIN(sizeof text, names.sh_size - at), names.sh_offset + at);
        for (u64 i = 0; i + sizeof SECTION <= got; i++)
            if (text[i] == '.' && !memcmp(text + i, SECTION, sizeof SECTION))
                return true;
        if (got < sizeof text)
            break;
    }
    return false;
}

static __attribute__((noinline)) enum kind_of_image elf_kind(const struct file *file, const Elf64_Ehdr *header) {
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != OUR_MACHINE)
        return FOREIGN;
    struct headers headers = headers_of(file, header);
    const Elf64_Phdr *segment;
    bool has_interpreter = false;
    u64 at = 0, size = 0; /* of the dynamic section */
    for (u32 i = 0; (segment = segment_at(&headers, i)); i++) {
        has_interpreter |= segment->p_type == PT_INTERP;
        if (segment->p_type == PT_DYNAMIC)
            at = segment->p_offset, size = segment->p_filesz;
    }
    struct dynamic dynamic = size ? read_dynamic(&headers, at, size) : (struct dynamic){0};
    /* A library without an interpreter that is executed is the loader itself, called with a program. */
    bool is_library = header->e_type == ET_DYN && size && !(dynamic.flags & DF_1_PIE);
    if (!has_interpreter)
        return is_library ? ORDINARY : STATIC;
    if (dynamic.sanitized)
        return SANITIZED;
    if (is_go(file, header))
        return has_go_note(&headers) ? GO : GO_UNSAID;
    return ORDINARY;
}

/* -- scripts */

/* The interpreter that a line "#!interpreter argument" names, ended by a zero; NULL: it is no such line. */
static char *interpreter(char *line, u64 size) {
    if (size < 3 || line[0] != '#' || line[1] != '!')
        return NULL;
    u64 from = 2, to;
    while (from < size && (line[from] == ' ' || line[from] == '\t'))
        from++;
    for (to = from; to < size && line[to] && line[to] != ' ' && line[to] != '\t' && line[to] != '\n';)
        to++;
    if (to == from || to >= LINE_LIMIT)
        return NULL;
    line[to] = 0;
    return line + from;
}

/* -- all together */

static void append_text(char *to, u32 *size, u32 room, const char *text) {
    while (*text && *size < room)
        to[(*size)++] = *text++;
}

/* Once per image, as far as this table goes: the collector says nothing twice. */
static bool is_news(const struct stat *status) {
    static u64 said[64];
    u64 image = hash_bytes(HASH_START, (struct bytes){(const u8 *)&status->st_ino, sizeof status->st_ino});
    image = hash_bytes(image, (struct bytes){(const u8 *)&status->st_dev, sizeof status->st_dev});
    return __atomic_exchange_n(&said[image % COUNT(said)], image, __ATOMIC_RELAXED) != image;
}

static __attribute__((noinline)) void remark(const char *path, const char *text) {
    char sentence[TOLD_LIMIT + 128];
    u32 size = 0;
    append_text(sentence, &size, TOLD_LIMIT, path);
    append_text(sentence, &size, sizeof sentence, text);
    note((struct bytes){(const u8 *)sentence, size});
}

static bool verdict(enum kind_of_image kind, const char *path, const struct file *file) {
    if (KINDS[kind].remark && is_news(&file->status))
        remark(path, KINDS[kind].remark);
    return KINDS[kind].carries;
}

bool image_carries(int directory, const char *path, int flags) {
    union {
        char line[LINE_LIMIT];
        Elf64_Ehdr elf;
    } start;
    char name[LINE_LIMIT];
    if (!environment_active() || !path || !library_reachable())
        return false;
    for (u32 scripts = 0; scripts < MOST_SCRIPTS; scripts++) {
        struct file file;
        if (!open_file(&file, directory, path, flags))
            return true; /* it fails, or nobody knows */
        u64 size = file.fd >= 0 ? read_at(&file, &start, sizeof start, 0) : 0;
        char *next_path = interpreter(start.line, size);
        enum kind_of_image kind = next_path ? ORDINARY : privilege(&file);
        if (!next_path && kind == ORDINARY && size >= sizeof start.elf && !memcmp(start.line, ELFMAG, SELFMAG))
            kind = elf_kind(&file, &start.elf);
        close_file(&file);
        if (!next_path)
            return verdict(kind, path, &file);
        memcpy(name, next_path, LINE_LIMIT - (u64)(next_path - start.line));
        path = name, directory = AT_FDCWD, flags = 0;
    }
    return true;
}

/* -- PATH */

static const char *search_path(void) {
    char ***pointer = environment_pointer();
    for (char **entry = pointer ? *pointer : NULL; entry && *entry; entry++)
        if ((*entry)[0] == 'P' && (*entry)[1] == 'A' && (*entry)[2] == 'T' && (*entry)[3] == 'H' && (*entry)[4] == '=')
            return *entry + 5;
    return "/bin:/usr/bin"; /* what the C libraries take, musl's further directory aside */
}

static bool may_execute(const char *path) {
    return raw_call(SYS_faccessat, AT_FDCWD, (long)path, 1 /* X_OK */, 0, 0, 0) == 0;
}

bool file_carries(const char *file) {
    char path[PATH_LIMIT];
    u64 size = 0;
    bool has_slash = false;
    if (!environment_active() || !file)
        return false;
    for (; file[size]; size++)
        has_slash |= file[size] == '/';
    if (has_slash)
        return image_carries(AT_FDCWD, file, 0);
    for (const char *from = search_path(), *to; size; from = to + 1) {
        for (to = from; *to && *to != ':';)
            to++;
        u64 directory = (u64)(to - from);
        if (directory + 1 + size < sizeof path) {
            memcpy(path, from, directory);
            path[directory] = '/';
            memcpy(path + directory + (directory > 0), file, size + 1);
            if (may_execute(path))
                return image_carries(AT_FDCWD, path, 0);
        }
        if (!*to)
            break;
    }
    return library_reachable();
}
