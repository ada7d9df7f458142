/* A PKCS#11 module in front of another (SHIM_MODULE) that notes logins and signatures in SHIM_LOG, lets no signature
 * pass while the file SHIM_HOLD exists, and fails one signature with the code in the file SHIM_FAIL, which it removes. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef unsigned long word;
/* The functions in the order of CK_FUNCTION_LIST. */
enum { LOGIN = 18, SIGN = 43, FUNCTIONS = 68 };
struct list {
    struct { unsigned char major, minor; } version;
    void *functions[FUNCTIONS];
};

static struct list *real;
static struct list own;

static void note(const char *what) {
    FILE *log = fopen(getenv("SHIM_LOG"), "a");
    if (log) {
        fprintf(log, "%s\n", what);
        fclose(log);
    }
}

static word login(word session, word user, unsigned char *pin, word length) {
    note("login");
    return ((word (*)(word, word, unsigned char *, word))real->functions[LOGIN])(session, user, pin, length);
}

static word sign(word session, unsigned char *data, word length, unsigned char *signature, word *size) {
    if (signature) {
        note("sign");
        FILE *fail = fopen(getenv("SHIM_FAIL"), "r");
        if (fail) {
            word code = 5;
            int read = fscanf(fail, "%lx", &code);
            fclose(fail);
            unlink(getenv("SHIM_FAIL"));
            return read == 1 ? code : 5;
        }
        while (access(getenv("SHIM_HOLD"), F_OK) == 0) usleep(1000);
    }
    return ((word (*)(word, unsigned char *, word, unsigned char *, word *))real->functions[SIGN])(
        session, data, length, signature, size);
}

word C_GetFunctionList(struct list **list) {
    if (!real) {
        void *library = dlopen(getenv("SHIM_MODULE"), RTLD_NOW | RTLD_LOCAL);
        word (*get)(struct list **) = library ? (word (*)(struct list **))dlsym(library, "C_GetFunctionList") : 0;
        if (!get || get(&real)) return 5;
        own = *real;
        own.functions[LOGIN] = (void *)login;
        own.functions[SIGN] = (void *)sign;
    }
    *list = &own;
    return 0;
}
