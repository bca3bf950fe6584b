# mqx: all build rules.  GNU make.
#
#   make            everything that is installed, into build/
#   make demo       see it work          make test     prove it
#   make storm      the long proofs      make bench    against the kernel's queues
#   make fuzz       damaged segments     make model    the index, model-checked
#   make compat     docs/compat.md: the same cases on the kernel's queues and on mqx
#   make install    PREFIX, DESTDIR      make clean
#
#   SANITIZE=address,undefined or SANITIZE=thread build into folders of their own.
#   B=folder chooses the build folder, CC and CFLAGS the compiler (CC=clang B=build-clang).
#   V=1 shows the commands.

VERSION := $(shell sed -n 's/.*define MQX_VERSION "\(.*\)"/\1/p' include/mqx.h)
SOMAJOR := 0

SANITIZE ?=
B        ?= build$(if $(SANITIZE),-$(if $(findstring thread,$(SANITIZE)),tsan,asan))
CFLAGS   ?= -O2 -g
ifeq ($(strip $(B)),)
$(error B, the build folder, must not be empty)
endif
PREFIX   ?= /usr/local
DESTDIR  ?=

bindir     := $(PREFIX)/bin
libdir     := $(PREFIX)/lib
includedir := $(PREFIX)/include
mandir     := $(PREFIX)/share/man
unitdir    := $(PREFIX)/lib/systemd
tmpfiles   := $(PREFIX)/lib/tmpfiles.d

# --- flags ------------------------------------------------------------------------------------

# 16-byte compare-and-swap is an instruction of its own on x86-64.
ARCH := $(if $(filter x86_64%,$(shell $(CC) -dumpmachine 2>/dev/null)),-mcx16 -mprfchw)
# gcc warns of fences, of which its thread sanitizer knows nothing; clang has no such warning.
SAN  := $(if $(findstring thread,$(SANITIZE)),$(if $(findstring clang,$(CC)),,-Wno-tsan)) $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-omit-frame-pointer \
          $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize-recover=undefined))

# Unwind tables: a cancelled thread unwinds through our blocking calls.
BASE := -std=gnu11 -Wall -Wextra -Wpedantic -Werror -D_GNU_SOURCE -pthread \
        -fasynchronous-unwind-tables -fexceptions $(ARCH) $(SAN)
OURS := $(BASE) -Iinclude -Ilibmqx
# initial-exec: no allocation in the middle of a signal handler's first mq_send.
# No exceptions: our cleanup handlers are then registered with pthread, instead of by a personality
# routine, for which every program that is run under us would load libgcc_s (and gcc takes the
# setjmp in the registration for one that clobbers).
GCC  := $(if $(findstring clang,$(shell $(CC) --version 2>/dev/null)),,yes)
LIB  := $(OURS) -fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-exceptions \
        $(if $(GCC),-Wno-clobbered)
# Tests, benchmarks and examples are ordinary programs: the system's headers, no library of ours.
# (Tests pass null pointers on purpose.)
PLAIN := $(BASE) -Wno-nonnull $(if $(findstring undefined,$(SANITIZE)),-fno-sanitize=nonnull-attribute)

# As system headers: newer ones are not pedantically clean.
FUSE_CFLAGS := $(patsubst -I%,-isystem %,$(shell pkg-config --cflags fuse3 2>/dev/null))
FUSE_LIBS   := $(shell pkg-config --libs fuse3 2>/dev/null)
# The static libinih (position-independent on Debian), so that a program that is run with our
# library preloaded gets no other library with it.
INIH := $(if $(wildcard $(shell $(CC) -print-file-name=libinih.a 2>/dev/null)),-l:libinih.a,-linih)

SODIUM := $(shell pkg-config --libs libsodium 2>/dev/null)

comma := ,
MAP := $(wildcard libmqx/libmqx.map)
# nodelete: our signal handler and fork handlers must stay where they are.
SHARED := -shared -Wl,-Bsymbolic-functions -Wl,-z,now -Wl,-z,nodelete -Wl,--exclude-libs,ALL \
          $(if $(SANITIZE),,-Wl,--no-undefined) \
          $(if $(MAP),-Wl$(comma)--version-script=$(MAP))

# --- what is built from what -------------------------------------------------------------------

sources = $(filter-out %_test.c,$(wildcard $(1)/*.c))
objects = $(patsubst %.c,$(B)/obj/%.o,$(call sources,$(1)))
tests   = $(patsubst $(1)/%.c,$(B)/test/%,$(wildcard $(1)/*_test.c))

PROGRAMS := $(if $(wildcard cli/*.c),$(B)/bin/mqx) $(if $(wildcard fusefs/*.c),$(B)/bin/mqxfs) \
            $(if $(wildcard mqxd/*.c),$(B)/bin/mqxd)
LIBRARIES := $(B)/lib/libmqx.so $(B)/lib/libmqx.a $(B)/lib/libmqx_preload.so $(B)/mqx.pc
UNITS    := $(foreach dir,libmqx fusefs mqxd cli,$(call tests,$(dir)))
CRASH    := $(patsubst compat-tests/crash/%.c,$(B)/test/%,$(wildcard compat-tests/crash/*.c))
RESOURCE := $(patsubst compat-tests/resources/%.c,$(B)/test/%,$(wildcard compat-tests/resources/*.c))
FILES    := $(patsubst compat-tests/fs/%.c,$(B)/test/%,$(wildcard compat-tests/fs/*.c))
CUT      := $(patsubst compat-tests/durable/%.c,$(B)/test/%,$(wildcard compat-tests/durable/*.c))
POSIX    := $(if $(wildcard compat-tests/posix/*.c),$(B)/test/posix_compat)
SYSV     := $(if $(wildcard compat-tests/sysv/*.c),$(B)/test/sysv_compat)
BENCH    := $(addprefix $(B)/bench/,bench bench_worker bench_files bench_durable floor)
EXAMPLES := $(patsubst examples/%.c,$(B)/examples/%,$(wildcard examples/*.c))
FUZZERS  := $(patsubst fuzz/%.c,$(B)/fuzz/%,$(wildcard fuzz/*_fuzz.c))
THREADED := $(patsubst %,$(B)/test/%_test,concurrency handles thread) $(B)/test/thread_storm \
            $(B)/lib/libmqx_preload.so
HOSTILE  := $(B)/test/segment_sweep $(B)/test/damage_queue
MANUALS  := $(wildcard docs/*.[1-8])
UNITFILES := $(patsubst systemd/%,%,$(wildcard systemd/*/*.service))

# Threads meet in the library with the thread sanitizer built in, where the compiler has one and the
# kernel lets it have the addresses that it wants.
has_tsan = $(shell mkdir -p $(B)/tsan && echo 'int main(void) { return 0; }' | \
             $(CC) -fsanitize=thread -x c -o $(B)/tsan/trial - 2>/dev/null && $(B)/tsan/trial && echo yes)
with_tsan = $(if $(SANITIZE),:,$(if $(has_tsan),$(MAKE) --no-print-directory SANITIZE=thread \
              B=$(B)/tsan $(1),rm -rf $(B)/tsan))

# Fuzzing is clang's, where it has its libraries.
has_fuzzer = $(shell mkdir -p $(B)/fuzz && echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' | \
               clang -fsanitize=fuzzer,address,undefined -x c -o $(B)/fuzz/trial - 2>/dev/null && echo yes)

.PHONY: all everything hostile threaded units deps demo test compat storm bench fuzz fuzzers corpus model install uninstall clean format
.DELETE_ON_ERROR:
.SECONDARY:
.DEFAULT_GOAL := all

all: $(PROGRAMS) $(LIBRARIES)
everything: all $(UNITS) $(CRASH) $(RESOURCE) $(FILES) $(CUT) $(POSIX) $(SYSV) $(BENCH) $(EXAMPLES) $(HOSTILE)

# --- rules -------------------------------------------------------------------------------------

# Other flags than last time: compile again.
FLAGS := $(CC) $(CFLAGS) $(CPPFLAGS) $(LIB) $(LDFLAGS)
$(B)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS))' | cmp -s - $@ || \
	    printf '%s\n' '$(subst ','\'',$(FLAGS))' >$@
.PHONY: force

Q := $(if $(V),,@)
define compile
@mkdir -p $(@D) && echo "  CC    $<"
$(Q)$(CC) $(1) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
endef
define link
@mkdir -p $(@D) && echo "  LINK  $@"
$(Q)$(CC) $(BASE) $(CFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(1)
endef

$(B)/obj/libmqx/%_test.o: libmqx/%_test.c $(B)/flags
	$(call compile,$(OURS))
$(B)/obj/libmqx/%.o: libmqx/%.c $(B)/flags
	$(call compile,$(LIB))
$(B)/obj/fusefs/%.o: fusefs/%.c $(B)/flags
	$(call compile,$(OURS) $(FUSE_CFLAGS))
$(B)/obj/mqxd/%.o: mqxd/%.c $(B)/flags
	$(call compile,$(OURS))
$(B)/obj/cli/%.o: cli/%.c $(B)/flags
	$(call compile,$(OURS))
$(B)/obj/compat-tests/durable/cutfs.o: PLAIN += $(FUSE_CFLAGS)
$(B)/obj/fuzz/%.o: fuzz/%.c $(B)/flags
	$(call compile,$(OURS))
$(B)/obj/%.o: %.c $(B)/flags
	$(call compile,$(PLAIN))

LIBOBJ := $(call objects,libmqx)

$(B)/lib/libmqx.a: $(LIBOBJ)
	@mkdir -p $(@D) && rm -f $@ && echo "  AR    $@"
	$(Q)$(AR) rcs $@ $^
$(B)/lib/libmqx.so: $(LIBOBJ) $(MAP)
	$(call link,$(SHARED) -Wl$(comma)-soname$(comma)libmqx.so.$(SOMAJOR) $(INIH))
	@ln -sf libmqx.so $@.$(SOMAJOR)
$(B)/lib/libmqx_preload.so: $(LIBOBJ) $(MAP)
	$(call link,$(SHARED) -Wl$(comma)-soname$(comma)libmqx_preload.so $(INIH))
fill = sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|'
pc = $(fill) mqx.pc.in
$(B)/mqx.pc: mqx.pc.in Makefile
	@mkdir -p $(@D)
	$(Q)$(pc) >$@

# Of others' folders, what shows messages and reads stores; it has a say() of its own.
STORED := fusefs/json $(addprefix mqxd/,check counters file inspect inspect_copy journal keys record room seal store store_journal store_read store_sealed where)
$(B)/bin/mqx $(call tests,cli): $(patsubst %,$(B)/obj/%.o,$(STORED))
$(B)/bin/mqx: $(call objects,cli) $(B)/lib/libmqx.a
	$(call link,-llmdb $(SODIUM) $(INIH))
$(B)/bin/mqxfs: $(call objects,fusefs) $(B)/lib/libmqx.a
	$(call link,$(FUSE_LIBS) $(INIH))
$(B)/bin/mqxd: $(call objects,mqxd) $(B)/lib/libmqx.a
	$(call link,-llmdb $(SODIUM) $(INIH))

# A unit test is linked with everything of its folder but main().
$(call tests,libmqx): $(B)/test/%: $(B)/obj/libmqx/%.o $(B)/lib/libmqx.a
	$(call link,-lcmocka $(INIH))
# It turns off what would hide a lost wake-up.
$(B)/test/wake_test: LDFLAGS += -Wl,--wrap=mqxi_event_sleep,--wrap=mqxi_event_sleep_once
# It lets somebody fall asleep between two calls of one who wakes.
$(B)/test/wait_test: LDFLAGS += -Wl,--wrap=syscall
# What others do between two of its steps.
$(B)/test/bell_steps_test: LDFLAGS += -Wl,--wrap=syscall,--wrap=mqxi_readiness
# Somebody else writes between their steps.
$(B)/test/inspect_test: LDFLAGS += -Wl,--wrap=mdb_txn_begin,--wrap=mdb_env_copyfd2,--wrap=pread
define unit
$$(call tests,$(1)): $$(B)/test/%: $$(B)/obj/$(1)/%.o $$(filter-out %/main.o,$$(call objects,$(1))) \
                  $$(B)/lib/libmqx.a
	$$(call link,-lcmocka $(2) $$(INIH))
endef
$(eval $(call unit,fusefs,$(FUSE_LIBS)))
$(eval $(call unit,mqxd,-llmdb $(SODIUM)))
$(eval $(call unit,cli,-llmdb $(SODIUM)))

$(B)/test/posix_compat: $(call objects,compat-tests/posix)
$(B)/test/sysv_compat: $(call objects,compat-tests/sysv)
$(POSIX) $(SYSV): $(call objects,compat-tests) # what the cases have in common
	$(call link,-lcmocka)
$(CRASH): $(B)/test/%: $(B)/obj/compat-tests/crash/%.o
	$(call link,)
$(RESOURCE): $(B)/test/%: $(B)/obj/compat-tests/resources/%.o
	$(call link,)
$(FILES): $(B)/test/%: $(B)/obj/compat-tests/fs/%.o
	$(call link,)
$(B)/test/cut_storm: $(patsubst %,$(B)/obj/compat-tests/durable/%.o,cut_storm cut/client cut/ledger cut/machine)
	$(call link,-llmdb)
$(B)/test/fill_storm: $(patsubst %,$(B)/obj/compat-tests/durable/%.o,fill_storm cut/client cut/ledger cut/machine)
	$(call link,-llmdb)
$(B)/test/cutfs: $(patsubst %,$(B)/obj/compat-tests/durable/%.o,cutfs cut/disk cut/power)
	$(call link,$(FUSE_LIBS))
$(B)/test/numbers: $(B)/obj/compat-tests/durable/numbers.o
	$(call link,)
$(B)/test/step_storm: $(call objects,compat-tests/crash/step)
$(B)/test/kill_storm: $(call objects,compat-tests/crash/kill)
$(B)/test/stop_storm: $(call objects,compat-tests/crash/stop)
$(B)/test/sysv_storm: $(call objects,compat-tests/crash/sysv)
$(addprefix $(B)/test/linear_,storm check_test search_test right_test): $(call objects,compat-tests/crash/linear)
# Its own calls are not to be resolved while they are stepped through.
$(B)/test/step_storm: LDFLAGS += -Wl,-z,now
$(B)/test/scribble: $(B)/obj/libmqx/layout.o # it knows what lies where in a segment
$(B)/bench/bench $(B)/bench/bench_files: $(B)/obj/bench/table.o
# mqx is called by name here; a client of RabbitMQ's is used where there is one.
AMQP := $(if $(wildcard /usr/include/amqp.h),-lrabbitmq)
$(B)/obj/bench/durable_mqx.o: CFLAGS += -Iinclude
$(B)/obj/bench/durable_rabbitmq.o: CFLAGS += $(if $(AMQP),-DHAVE_AMQP)
$(B)/bench/bench_durable: $(B)/obj/bench/bench_durable.o $(B)/obj/bench/table.o \
    $(patsubst %,$(B)/obj/bench/durable_%.o,server team peers group rabbitmq mqx) $(B)/lib/libmqx.a
	$(call link,$(AMQP) $(INIH))
$(B)/bench/%: $(B)/obj/bench/%.o
	$(call link,-lm)
$(B)/obj/bench/floor.o: CFLAGS += $(FUSE_CFLAGS)
$(B)/bench/floor: $(B)/obj/bench/floor.o
	$(call link,$(FUSE_LIBS))
# This one calls mqx by name.
$(B)/obj/examples/poller.o: CFLAGS += -Iinclude
$(B)/examples/poller: $(B)/examples/%: $(B)/obj/examples/%.o $(B)/lib/libmqx.a
	$(call link,$(INIH))
# These want no library at all.
$(B)/examples/file_%: $(B)/obj/examples/file_%.o
	$(call link,$(if $(SANITIZE),,-static))
$(B)/examples/%: $(B)/obj/examples/%.o
	$(call link,)

# Damaged segments (fuzz/damage.h), and a sweep over them.  Its mappings and system calls go through
# fuzz/fence.c.
FENCE := -Wl$(comma)--wrap=mmap$(comma)--wrap=syscall
$(B)/test/segment_sweep: $(patsubst %,$(B)/obj/fuzz/%.o,segment_sweep damage fence) $(B)/lib/libmqx.a
	$(call link,$(FENCE) $(INIH))
$(B)/test/damage_queue $(B)/test/seeds: $(B)/test/%: $(B)/obj/fuzz/%.o $(B)/obj/fuzz/damage.o \
                                        $(B)/lib/libmqx.a
	$(call link,$(INIH))

# Fuzzers see the branches of what they fuzz: all of it is compiled for them, by clang.  A target is
# fuzz/NAME_fuzz.c; the other files there are what targets share.  With other FUZZFLAGS in a folder of
# its own, -fprofile-instr-generate -fcoverage-mapping, llvm-cov shows what they reach.
FUZZ := clang $(filter-out $(SAN),$(OURS)) $(FUZZFLAGS) -O1 -g -fno-omit-frame-pointer \
        -fsanitize=address,undefined -fno-sanitize-recover=undefined
fuzzed = $(patsubst %.c,$(B)/fuzz/obj/%.o,$(filter-out %/main.c,$(call sources,$(1))))
DAMAGE := $(patsubst %,$(B)/fuzz/obj/fuzz/%.o,damage fence mutate target)
$(B)/fuzz/obj/%.o: %.c $(B)/flags
	@mkdir -p $(@D) && echo "  FUZZ  $<"
	$(Q)$(FUZZ) -DFUZZING -fsanitize=fuzzer-no-link -Imqxd -Ifusefs -Icli $(FUSE_CFLAGS) -MMD -MP -c -o $@ $<
$(B)/fuzz/segment_fuzz: $(DAMAGE)
$(B)/fuzz/mirror_fuzz: $(DAMAGE) $(filter-out %/log.o,$(call fuzzed,mqxd)) # it is silent
$(B)/fuzz/mirror_fuzz: FUZZLIBS := -llmdb $(SODIUM)
$(B)/fuzz/mount_fuzz: $(DAMAGE) $(B)/fuzz/obj/fuzz/fake_fuse.o \
    $(filter-out %/loop.o %/opened.o %/options.o,$(call fuzzed,fusefs)) # in their place
CLI_FUZZED := $(call fuzzed,cli) $(patsubst %,$(B)/fuzz/obj/%.o,$(STORED))
$(B)/fuzz/cli_fuzz: $(DAMAGE) $(CLI_FUZZED)
$(B)/fuzz/cli_fuzz: FUZZLIBS := -lm -llmdb $(SODIUM)
$(B)/fuzz/store_fuzz: $(B)/fuzz/obj/fuzz/fake_journal.o $(filter-out %/log.o,$(call fuzzed,mqxd))
$(B)/fuzz/store_fuzz: FUZZLIBS := -llmdb $(SODIUM)
$(B)/fuzz/names_fuzz: $(CLI_FUZZED)
$(B)/fuzz/names_fuzz: FUZZLIBS := -lm -llmdb $(SODIUM)
$(B)/fuzz/args_fuzz: $(CLI_FUZZED)
$(B)/fuzz/args_fuzz: FUZZLIBS := -lm -llmdb $(SODIUM) -Wl$(comma)--wrap=exit
$(FUZZERS): $(B)/fuzz/%: $(B)/fuzz/obj/fuzz/%.o $(call fuzzed,libmqx)
	@echo "  LINK  $@"
	$(Q)$(FUZZ) -fsanitize=fuzzer $(if $(filter %/fence.o,$^),$(FENCE)) -o $@ $(filter %.o,$^) \
	    $(FUZZLIBS) $(INIH)
fuzzers: $(FUZZERS)

# The seeds of damaged segments, anew: when the format has changed.  What fuzzing found stays.
corpus: $(B)/test/seeds
	find fuzz/corpus/segment -type f ! -name 'found-*' -delete
	$(B)/test/seeds fuzz/corpus/segment

# --- what people ask for -------------------------------------------------------------------------

export B SANITIZE CC

deps:
	@scripts/deps.sh $(WANTED)

# The rest of these run make again: the compiler may not have been there when this one started.
demo: deps
	+@$(MAKE) --no-print-directory all $(B)/examples/producer $(B)/examples/consumer
	@BUILD=$(B) scripts/demo.sh
test: WANTED := test
test: deps
	+@$(MAKE) --no-print-directory everything $(if $(has_fuzzer),fuzzers)
	+@$(call with_tsan,threaded)
	@BUILD=$(B) compat-tests/run.sh
compat: all $(POSIX) $(SYSV)
	@BUILD=$(B) scripts/compat.sh
storm: deps
	+@$(MAKE) --no-print-directory all $(CRASH) $(RESOURCE) $(FILES) $(CUT) $(B)/examples/producer
	+@$(if $(SANITIZE),,$(MAKE) --no-print-directory SANITIZE=address$(comma)undefined B=$(B)-asan \
	    all $(addprefix $(B)-asan/,test/scribble test/scribble_storm examples/producer))
	+@$(call with_tsan,threaded units)
	@BUILD=$(B) compat-tests/run.sh storm
bench: all $(BENCH)
	$(B)/bench/bench --preload $(B)/lib/libmqx_preload.so $(BENCHFLAGS)
	$(B)/bench/bench_files --mqxfs $(B)/bin/mqxfs $(FILEBENCHFLAGS)
	$(B)/bench/bench_durable --mqxd $(B)/bin/mqxd --dir $(B) $(DURABLEBENCHFLAGS)
# Programs meet damaged queues with the sanitizers built in.
fuzz: fuzzers
	+@$(MAKE) --no-print-directory SANITIZE=address,undefined B=$(B)/asan all hostile
	@BUILD=$(B) compat-tests/run.sh fuzz
	@BUILD=$(B)/asan SANITIZE=address,undefined compat-tests/run.sh hostile
hostile: $(HOSTILE) $(EXAMPLES)
threaded: $(THREADED)
units: $(call tests,libmqx) $(POSIX)
model:
	@model/run.sh

install: all
	install -d $(DESTDIR)$(bindir) $(DESTDIR)$(libdir)/pkgconfig $(DESTDIR)$(includedir)/mqx
	install -m 755 $(PROGRAMS) $(DESTDIR)$(bindir)
	install -m 644 $(B)/lib/libmqx.a $(DESTDIR)$(libdir)
	install -m 755 $(B)/lib/libmqx_preload.so $(DESTDIR)$(libdir)
	install -m 755 $(B)/lib/libmqx.so $(DESTDIR)$(libdir)/libmqx.so.$(SOMAJOR)
	ln -sf libmqx.so.$(SOMAJOR) $(DESTDIR)$(libdir)/libmqx.so
	$(pc) >$(DESTDIR)$(libdir)/pkgconfig/mqx.pc
	install -m 644 $(wildcard include/*.h) $(DESTDIR)$(includedir)/mqx
	for page in $(MANUALS); do \
	    install -D -m 644 $$page $(DESTDIR)$(mandir)/man$${page##*.}/$${page##*/} || exit 1; \
	done
	install -d $(addprefix $(DESTDIR)$(unitdir)/,system user) $(DESTDIR)$(tmpfiles)
	for unit in $(UNITFILES); do \
	    $(fill) systemd/$$unit >$(DESTDIR)$(unitdir)/$$unit || exit 1; \
	done
	install -m 644 systemd/mqx.conf $(DESTDIR)$(tmpfiles)

uninstall:
	rm -f $(addprefix $(DESTDIR)$(bindir)/,mqx mqxd mqxfs) $(DESTDIR)$(libdir)/pkgconfig/mqx.pc \
	    $(addprefix $(DESTDIR)$(libdir)/libmqx,.a .so .so.$(SOMAJOR) _preload.so)
	rm -rf $(DESTDIR)$(includedir)/mqx
	rm -f $(addprefix $(DESTDIR)$(unitdir)/,$(UNITFILES)) $(DESTDIR)$(tmpfiles)/mqx.conf
	rm -f $(foreach page,$(MANUALS),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(page)))/$(notdir $(page)))

clean:
	rm -rf build build-asan build-tsan $(filter-out / . ..,$(B))

format:
	clang-format -i $(wildcard include/*.h */*.[ch] compat-tests/*/*.[ch] compat-tests/*/*/*.[ch])

-include $(shell find $(B)/obj $(B)/fuzz/obj -name '*.d' 2>/dev/null)
