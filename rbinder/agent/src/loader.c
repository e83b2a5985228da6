/* The loader, without a C library's dlsym: finds the next definition of a symbol, as dlsym(RTLD_NEXT) would. It isn't in
 * libc itself before glibc 2.34, and asks for memory.
 */
#include "loader.h"

#include <elf.h>

#include "system.h"

/* link.h: what dl_iterate_phdr tells of an object, as far as it is read here. */
struct object_info {
    Elf64_Addr base;
    const char *name;
    const Elf64_Phdr *headers;
    Elf64_Half header_count;
};

extern int dl_iterate_phdr(int (*each)(struct object_info *info, size_t size, void *data), void *data) __attribute__((weak));
extern unsigned long getauxval(unsigned long type) __attribute__((weak));
extern char **environ __attribute__((weak));
extern int *__errno_location(void) __attribute__((weak));

char ***environment_pointer(void) {
    return &environ;
}

int *errno_pointer(void) {
    return __errno_location ? __errno_location() : NULL;
}

/* The dynamic symbols of one object. */
struct object {
    Elf64_Addr base;
    const Elf64_Sym *symbols;
    const char *strings;
    const u32 *hash, *gnu_hash;
    const Elf64_Half *versions;
};

/* glibc writes addresses into the dynamic section, musl and the vDSO's have offsets. */
static const void *address_in(const struct object *object, Elf64_Addr value) {
    return (const void *)(value < object->base ? value + object->base : value);
}

static void note_entry(struct object *object, const Elf64_Dyn *entry) {
    const void *address = address_in(object, entry->d_un.d_ptr);
    switch (entry->d_tag) {
    case DT_SYMTAB:
        object->symbols = address;
        break;
    case DT_STRTAB:
        object->strings = address;
        break;
    case DT_HASH:
        object->hash = address;
        break;
    case DT_GNU_HASH:
        object->gnu_hash = address;
        break;
    case DT_VERSYM:
        object->versions = address;
        break;
    default:
        break;
    }
}

static bool read_object(const struct object_info *info, struct object *object) {
    *object = (struct object){.base = info->base};
    for (u32 i = 0; i < info->header_count; i++) {
        if (info->headers[i].p_type != PT_DYNAMIC)
            continue;
        const Elf64_Dyn *entry = (const Elf64_Dyn *)(info->base + info->headers[i].p_vaddr);
        for (; entry->d_tag != DT_NULL; entry++)
            note_entry(object, entry);
    }
    return object->symbols && object->strings && (object->hash || object->gnu_hash);
}

static bool same_text(const char *one, const char *other) {
    while (*one && *one == *other)
        one++, other++;
    return *one == *other;
}

/* A definition that others may use; of several versions the default one (its hidden bit isn't set). */
static bool fits(const struct object *object, u32 index, const char *name) {
    const Elf64_Sym *symbol = &object->symbols[index];
    u32 type = ELF64_ST_TYPE(symbol->st_info), binding = ELF64_ST_BIND(symbol->st_info);
    if (symbol->st_shndx == SHN_UNDEF || !symbol->st_value || binding == STB_LOCAL)
        return false;
    if (type != STT_FUNC && type != STT_NOTYPE && type != STT_GNU_IFUNC)
        return false;
    if (object->versions && object->versions[index] & 0x8000)
        return false;
    return same_text(object->strings + symbol->st_name, name);
}

static u32 gnu_hash_of(const char *name) {
    u32 hash = 5381;
    for (const u8 *at = (const u8 *)name; *at; at++)
        hash = hash * 33 + *at;
    return hash;
}

static u32 find_by_gnu_hash(const struct object *object, const struct wanted *wanted) {
    u32 bucket_count = object->gnu_hash[0], first = object->gnu_hash[1], words = object->gnu_hash[2];
    u32 shift = object->gnu_hash[3], hash = wanted->hash;
    const u64 *bloom = (const u64 *)(object->gnu_hash + 4);
    const u32 *buckets = (const u32 *)(bloom + words), *chains = buckets + bucket_count;
    if (!bucket_count || !words)
        return 0;
    u64 word = bloom[hash / 64 % words];
    if (!(word >> hash % 64 & 1) || !(word >> (hash >> shift) % 64 & 1))
        return 0;
    u32 index = buckets[hash % bucket_count];
    for (; index >= first && index; index++) {
        u32 chain = chains[index - first];
        if ((chain | 1) == (hash | 1) && fits(object, index, wanted->name))
            return index;
        if (chain & 1)
            break;
    }
    return 0;
}

static u32 find_by_hash(const struct object *object, const struct wanted *wanted) {
    u32 bucket_count = object->hash[0], hash = 0;
    for (const u8 *at = (const u8 *)wanted->name; *at; at++) { /* System V ABI, gABI 5 */
        hash = (hash << 4) + *at;
        hash = (hash ^ ((hash >> 24) & 0xf0)) & 0x0fffffff;
    }
    const u32 *buckets = object->hash + 2, *chains = buckets + bucket_count;
    for (u32 index = bucket_count ? buckets[hash % bucket_count] : 0; index; index = chains[index])
        if (fits(object, index, wanted->name))
            return index;
    return 0;
}

static void *find_in(const struct object *object, const struct wanted *wanted) {
    u32 index = object->gnu_hash ? find_by_gnu_hash(object, wanted) : find_by_hash(object, wanted);
    if (!index)
        return NULL;
    const Elf64_Sym *symbol = &object->symbols[index];
    void *address = (void *)(object->base + symbol->st_value);
    if (ELF64_ST_TYPE(symbol->st_info) == STT_GNU_IFUNC)
        return ((void *(*)(void))address)();
    return address;
}

struct search {
    struct wanted *wanted;
    u32 count, left;
    bool behind_us;
};

/* Whether the object is this library. */
static bool is_ours(const struct object_info *info) {
    Elf64_Addr here = (Elf64_Addr)&is_ours;
    for (u32 i = 0; i < info->header_count; i++) {
        const Elf64_Phdr *header = &info->headers[i];
        if (header->p_type == PT_LOAD && here - info->base - header->p_vaddr < header->p_memsz)
            return true;
    }
    return false;
}

static int search_object(struct object_info *info, size_t size, void *data) {
    struct search *search = data;
    struct object object;
    if (size < sizeof *info)
        return 1;
    if (!search->behind_us) {
        search->behind_us = is_ours(info);
        return 0;
    }
    if (!read_object(info, &object))
        return 0;
    for (u32 i = 0; i < search->count; i++) {
        struct wanted *wanted = &search->wanted[i];
        if (!wanted->found && (wanted->found = find_in(&object, wanted)))
            search->left--;
    }
    return !search->left;
}

static void search_objects(struct wanted *wanted, u32 count, bool behind_us) {
    struct search search = {wanted, count, count, behind_us};
    for (u32 i = 0; i < count; i++)
        wanted[i].hash = gnu_hash_of(wanted[i].name);
    if (dl_iterate_phdr)
        dl_iterate_phdr(search_object, &search);
}

void next_definitions(struct wanted *wanted, u32 count) {
    search_objects(wanted, count, false);
}

void definitions(struct wanted *wanted, u32 count) {
    search_objects(wanted, count, true);
}

bool find_api(const char *const *names, const bool *optional, u32 count, void **table) {
    struct wanted wanted[API_NAMES];
    for (u32 i = 0; i < count; i++)
        wanted[i] = (struct wanted){names[i], 0, NULL};
    definitions(wanted, 1);
    if (!wanted[0].found)
        return false;
    definitions(wanted, count);
    bool complete = true;
    for (u32 i = 0; i < count; i++) {
        table[i] = wanted[i].found;
        complete &= table[i] || (optional && optional[i]);
    }
    return complete;
}

void *next_definition(const char *name) {
    struct wanted wanted = {.name = name};
    next_definitions(&wanted, 1);
    return wanted.found;
}

/* -- memory */

struct place_in_memory {
    Elf64_Addr address;
    bool writable;
};

/* What is relocated is made unwritable after that. */
static int find_place(struct object_info *info, size_t size, void *data) {
    struct place_in_memory *place = data;
    bool found = false;
    (void)size;
    for (u32 i = 0; i < info->header_count; i++) {
        const Elf64_Phdr *header = &info->headers[i];
        if (place->address - info->base - header->p_vaddr >= header->p_memsz)
            continue;
        if (header->p_type == PT_LOAD) {
            found = true;
            place->writable &= (header->p_flags & PF_W) != 0;
        } else if (header->p_type == PT_GNU_RELRO) {
            place->writable = false;
        }
    }
    return found;
}

bool is_writable_data(const void *at) {
    struct place_in_memory place = {(Elf64_Addr)at, true};
    if (!dl_iterate_phdr)
        return false;
    dl_iterate_phdr(find_place, &place);
    return place.writable;
}

/* -- the vDSO */

/* NULL: the kernel maps none. Then getauxval sets errno, which is the program's. */
static const Elf64_Ehdr *find_vdso(void) {
    int kept = errno_kept();
    const Elf64_Ehdr *header = getauxval ? (const Elf64_Ehdr *)getauxval(AT_SYSINFO_EHDR) : NULL;
    errno_back(kept);
    return header;
}

void *vdso_definition(const char *name) {
    const Elf64_Ehdr *header = find_vdso();
    if (!header)
        return NULL;
    const Elf64_Phdr *headers = (const Elf64_Phdr *)((const u8 *)header + header->e_phoff);
    struct object_info info = {0, NULL, headers, header->e_phnum};
    for (u32 i = 0; i < header->e_phnum; i++)
        if (headers[i].p_type == PT_LOAD) {
            info.base = (Elf64_Addr)header + headers[i].p_offset - headers[i].p_vaddr;
            break;
        }
    struct object object;
    struct wanted wanted = {.name = name, .hash = gnu_hash_of(name)};
    return read_object(&info, &object) ? find_in(&object, &wanted) : NULL;
}
