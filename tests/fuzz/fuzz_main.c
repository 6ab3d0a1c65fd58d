/* A main() for the fuzz targets where there is no fuzzer: runs the target over every file named,
 * and over every file in the directories named, so that what was once found is found again in an
 * ordinary test run. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_BYTES_MAX = 16 << 20 };

/* A copy of exactly the file's size, so that the sanitizers see a byte read too far. */
static int run_file(const char *path, long *count) {
    FILE *file = fopen(path, "rb");
    struct stat info;
    if (file == NULL || fstat(fileno(file), &info) != 0 || info.st_size > INPUT_BYTES_MAX) {
        fprintf(stderr, "%s: %s\n", path, file == NULL ? strerror(errno) : "not a usable input");
        if (file != NULL) {
            fclose(file);
        }
        return 1;
    }
    size_t size = (size_t) info.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    int failed = data == NULL || fread(data, 1, size, file) != size;
    fclose(file);
    if (failed) {
        fprintf(stderr, "%s: cannot be read\n", path);
    } else {
        LLVMFuzzerTestOneInput(data, size);
        ++*count;
    }
    free(data);
    return failed;
}

static int run_path(const char *path, long *count) {
    DIR *directory = opendir(path);
    if (directory == NULL) {
        return run_file(path, count);
    }
    int failed = 0;
    struct dirent *entry;
    while ((entry = readdir(directory)) != NULL) {
        char name[PATH_MAX];
        if (entry->d_name[0] == '.') {
            continue;
        }
        if (snprintf(name, sizeof name, "%s/%s", path, entry->d_name) >= (int) sizeof name) {
            fprintf(stderr, "%s/%s: path too long\n", path, entry->d_name);
            failed = 1;
            continue;
        }
        failed |= run_path(name, count);
    }
    closedir(directory);
    return failed;
}

int main(int argc, char **argv) {
    long count = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        failed |= run_path(argv[i], &count);
    }
    printf("%ld inputs\n", count);
    return failed || count == 0; /* no corpus is a mistake, not a pass */
}
