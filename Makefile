# The only Makefile.  GNU make 4.3, pkg-config, gcc or clang.
#   make                      three programs and a helper in build/<cc>/bin
#   make unit                 layer check, unit tests, replay of the fuzz corpora; builds the loads
#   make test                 unit + scenario tests with the real programs
#   make scenario SCENARIOS=test/scenario/run_test.py
#   make lint                 clang-format, clang-tidy, layers
#   make soak PLACES=20 KILLS=3000    cut, silence and kill -9 everywhere; hours
#   make sim SEEDS=100000 FIRST=1     the installation played from seeds; SEED=n tells one;
#                                     MUTANT=no-sync: with a safeguard off
#   make chaos SECONDS=120 SEED=7     everything killed and cut at random, then judged;
#                                     MUTANT=no-sync: with a safeguard off it must fail
#   make bench ROWS=bulk,small ROUNDS=5      the relay against its peers: build/bench/relay.json
#   make bench-fleet N=2000   a fleet loses its relay: build/bench/fleet.json
#   make bench-actions               actions a second: build/bench/actions.json
#   make demo                 deploy a real web application through a relay
#   make fuzz FUZZ=mux FUZZ_SECONDS=60       make fuzz-all
#   make SAN=address,undefined unit          make CC=clang unit
#   make install DESTDIR=/tmp/root PREFIX=/usr
MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.PHONY: all tools loads failing unit test scenario soak sim chaos chaos-mutants bench bench-fleet bench-actions layers lint format tidy fuzz fuzz-all fuzz-replay \
    demo install clean

VERSION  := 0.1.0
Q        := $(if $(V),,@)
comma    := ,
BUILD    := build/$(notdir $(CC))$(addprefix -,$(subst $(comma),-,$(SAN)))
PROGRAMS := server tentacle relay
PKGS     := libevent_core libevent_extra libevent_pthreads libevent_openssl openssl sqlite3 \
    msgpack jansson yaml-0.1 libcurl libarchive libzstd
SRCS     := $(shell find proto common $(PROGRAMS) -name '*.c')
GUARDIAN := $(BUILD)/bin/longarm-guardian
STEP     := $(BUILD)/bin/longarm-step
SUPPORT  := $(wildcard test/support/*.c)
TESTS    := $(shell find test -name '*_test.c')
# Programs that only tests use; what else is in test/tools is their archive.
TOOLS    := fault_proxy hostile_peer delay_line swarm evil_relay puppet journal_dump deed
TOOL_SRC := $(filter-out %_test.c,$(wildcard test/tools/*.c))
# Load generators of the bench, and what they share.
LOADS    := bench_keys bench_link bench_tcp
LOAD_SRC := $(wildcard test/bench/*.c)
FUZZERS  := $(wildcard test/fuzz/*_fuzz.c)

CFLAGS   ?= -O2 -g $(if $(SAN),,-D_FORTIFY_SOURCE=2)
LANGUAGE := -std=c17 -D_GNU_SOURCE -iquote .
WARN     := -Wall -Wextra -Wpedantic -Werror -Wshadow -Wconversion \
    -Wsign-conversion -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual \
    -Wpointer-arith -Wwrite-strings -Wformat=2 -Wundef -Wvla -Wswitch-enum \
    -Wimplicit-fallthrough -Wdouble-promotion
SANITIZE := $(if $(SAN),-fsanitize=$(SAN) -fno-sanitize-recover=all)
DEFINES  := -DLONGARM_VERSION='"$(VERSION)"' -DOPENSSL_NO_DEPRECATED
ALL_CFLAGS := $(LANGUAGE) $(WARN) $(DEFINES) -fPIE -fstack-protector-strong \
    $(SANITIZE) $(shell pkg-config --cflags $(PKGS) cmocka) $(CPPFLAGS) $(CFLAGS)
LINK      = @echo '  LINK  $@'; $(CC) $(CFLAGS) $(SANITIZE) -pie -Wl,-z,relro,-z,now,--as-needed \
    $(LDFLAGS) -o $@ $^
LIBS     := $(shell pkg-config --libs $(PKGS)) -lpthread
CMOCKA   := $(shell pkg-config --libs cmocka)
# Tests can make the n-th allocation of our own code fail: test/support/alloc.h
WRAP     := -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc

all: $(PROGRAMS:%=$(BUILD)/bin/longarm-%) $(BUILD)/bin/longarm $(GUARDIAN) $(STEP)

$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  CC    $<'
	$(Q)$(CC) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

# One archive per directory, without its main.o so that tests can link it.
objs_of = $(patsubst %.c,$(BUILD)/%.o,$(filter-out %/main.c,$(filter $1/%,$(SRCS))))
$(foreach d,proto common $(PROGRAMS),$(eval $(BUILD)/$d.a: $(call objs_of,$d)))
$(BUILD)/tools.a: $(patsubst %.c,$(BUILD)/%.o, \
    $(filter-out $(TOOLS:%=test/tools/%.c),$(TOOL_SRC)))
$(BUILD)/sim.a: $(patsubst %.c,$(BUILD)/%.o, \
    $(filter-out %_test.c,$(wildcard test/sim/*.c)))
$(BUILD)/support.a: $(SUPPORT:%.c=$(BUILD)/%.o)
$(BUILD)/%.a:
	@rm -f $@
	@mkdir -p $(@D)
	$(Q)$(AR) rcs $@ $^

# Who may use whom.  A test of proto links neither libevent nor OpenSSL.
uses_proto    := proto
uses_common   := common proto
uses_server   := server common proto
uses_tentacle := tentacle common proto
uses_relay    := relay common proto
uses_tools    := tools common proto
uses_swarm    := tools tentacle common proto
uses_journal_dump := tentacle common proto
uses_sim      := sim server tentacle common proto
archives_of = $(patsubst %,$(BUILD)/%.a,$(uses_$1))

$(foreach p,$(PROGRAMS),$(eval \
    $(BUILD)/bin/longarm-$p: $(BUILD)/$p/main.o $(call archives_of,$p)))
$(BUILD)/bin/longarm-%:
	@mkdir -p $(@D)
	$(LINK) $(LIBS)
$(BUILD)/bin/longarm: $(BUILD)/bin/longarm-server
	ln -sf longarm-server $@

# What scripts may call, beside the guardians' program.
$(STEP): scripts/install/longarm-step
	@mkdir -p $(@D)
	$(Q)install -m 755 $< $@

# The tentacle's helper: static, nothing but libc, and so never sanitized.
GUARDIAN_OBJ := $(patsubst %.c,$(BUILD)/static/%.o,$(wildcard tentacle/guardian/*.c) proto/crc.c)
FAILPOINT    := $(BUILD)/static/common/failpoint.o
$(GUARDIAN): $(GUARDIAN_OBJ) $(FAILPOINT)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,--gc-sections $(LDFLAGS) -o $@ $^
$(BUILD)/static/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  CC    $< (static)'
	$(Q)$(CC) $(LANGUAGE) $(WARN) $(DEFINES) -fPIE -fstack-protector-strong \
	    $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

# The same objects, but for failpoint(): test/failing/failing.h.  Its functions
# come before those of archives and libraries.
FAILING      := $(BUILD)/failing
FAILING_BASE := failpoint disk machine
failing: $(PROGRAMS:%=$(FAILING)/longarm-%) $(FAILING)/longarm $(FAILING)/longarm-guardian
failing_objs = $(patsubst %,$1/test/failing/%.o,$(FAILING_BASE) $2)
$(foreach p,$(PROGRAMS),$(eval \
    $(FAILING)/longarm-$p: $(BUILD)/$p/main.o $(call failing_objs,$(BUILD)) $(call archives_of,$p)))
$(FAILING)/longarm-tentacle: $(call failing_objs,$(BUILD),mutant_tentacle)
$(FAILING)/longarm-tentacle: LDFLAGS += -Wl,--wrap=tickets_judge_start
$(FAILING)/longarm-guardian: $(GUARDIAN_OBJ) $(call failing_objs,$(BUILD)/static,mutant_guardian)
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) -static-pie -Wl,--wrap=guard_put_synced $(LDFLAGS) -o $@ $^
$(FAILING)/longarm: $(FAILING)/longarm-server
	ln -sf longarm-server $@
$(FAILING)/longarm-%:
	@mkdir -p $(@D)
	$(LINK) $(LIBS)

tools: failing $(TOOLS:%=$(BUILD)/tools/%)
$(foreach t,$(filter-out evil_relay deed,$(TOOLS)),$(eval $(BUILD)/tools/$t: $(BUILD)/test/tools/$t.o \
    $(call archives_of,$(if $(uses_$t),$t,tools))))
# A relay with some of its calls replaced.
$(BUILD)/tools/evil_relay: $(BUILD)/test/tools/evil_relay.o \
    $(BUILD)/relay/main.o $(call archives_of,relay)
$(BUILD)/tools/evil_relay: LDFLAGS += -Wl,--wrap=msg_presence_encode
# What scripts of a chaos run do: hundreds of them, so it is small.
$(BUILD)/tools/deed: $(BUILD)/static/test/tools/deed.o
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)$(CC) $(CFLAGS) -static-pie $(LDFLAGS) -o $@ $^
$(BUILD)/tools/%:
	@mkdir -p $(@D)
	$(LINK) $(LIBS)

loads: $(LOADS:%=$(BUILD)/bench/%)
$(BUILD)/loads.a: $(patsubst %.c,$(BUILD)/%.o, \
    $(filter-out $(LOADS:%=test/bench/%.c),$(LOAD_SRC)))
$(foreach t,$(LOADS),$(eval $(BUILD)/bench/$t: $(BUILD)/test/bench/$t.o \
    $(BUILD)/loads.a $(BUILD)/common.a $(BUILD)/proto.a))
$(BUILD)/bench/%:
	@mkdir -p $(@D)
	$(LINK) $(LIBS)

room_of = $(word 2,$(subst /, ,$1))
$(foreach t,$(TESTS),$(eval $(BUILD)/$(t:.c=): $(BUILD)/$(t:.c=.o) \
    $(call archives_of,$(call room_of,$t)) $(BUILD)/support.a))
$(BUILD)/test/%_test:
	$(LINK) $(WRAP) $(CMOCKA) $(if $(filter proto/%,$*),-lmsgpackc,$(LIBS))

$(filter $(BUILD)/test/tentacle/%,$(TESTS:%.c=$(BUILD)/%)): | $(GUARDIAN) $(STEP)

# One unit test program per line; the full output of those that fail.
# Load generators are built, too: they must not rot between two benches.
unit: layers $(TESTS:%.c=$(BUILD)/%) fuzz-replay loads
	@scripts/run-unit-tests $(filter %_test,$^)

layers: $(BUILD)/proto.a
	scripts/check-layers $<

scenario: all tools
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin PYTEST_FLAGS="$(PYTEST_FLAGS)" \
	    scripts/run-scenarios -j $(or $(SCENARIO_JOBS),3) \
	    $(or $(SCENARIOS),test/scenario test/chaos)

test: unit scenario

# Guardians killed again and again, and those scenarios that do more when they are
# given the time.
KILL_TEST := $(BUILD)/test/tentacle/guardian_kill_test
SIM_TEST  := $(BUILD)/test/sim/sim_test
soak: all tools $(KILL_TEST) $(SIM_TEST)
	SIM_SEEDS=$(or $(SEEDS),100000) $(SIM_TEST)
	LONGARM_KILLS=$(or $(KILLS),3000) $(KILL_TEST)
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin LONGARM_SOAK=$(or $(PLACES),20) \
	    PYTEST_FLAGS="$(PYTEST_FLAGS)" scripts/run-scenarios -j 1 \
	    $(shell grep -lE 'LONGARM_SOAK|mark\.soak' test/scenario/*_test.py)
	@tail -n +1 build/bench/slow-*.json

sim: $(SIM_TEST)
	SIM_SEEDS=$(or $(SEEDS),100000) SIM_FIRST=$(or $(FIRST),1) \
	    $(MUTANT:%=SIM_MUTANT=%) $(SIM_TEST)

# The set of programs with failpoints; the seed says what is done to them.
chaos: all tools
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin exec /usr/bin/python3 test/chaos/chaos.py \
	    --seconds $(or $(SECONDS),120) $(SEED:%=--seed %) $(MUTANT:%=--mutant %)
chaos-mutants: all tools
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin scripts/chaos-mutants $(SECONDS)

bench: all tools loads
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin scripts/bench $(if $(ROWS),--rows $(ROWS)) \
	    $(if $(ROUNDS),--rounds $(ROUNDS)) build/bench/relay.json

bench-actions: all failing
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin scripts/bench-actions

bench-fleet: all tools
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin scripts/bench-fleet $(or $(N),2000) \
	    build/bench/fleet.json

demo: all
	LONGARM_BIN=$(CURDIR)/$(BUILD)/bin exec scripts/demo

lint: format tidy layers

format:
	clang-format --dry-run --Werror $$(git ls-files '*.[ch]')

# clang-tidy: in parallel, and again only what changed.
TIDY := $(SRCS:%.c=build/tidy/%.stamp)
tidy: $(TIDY)
build/tidy/%.stamp: %.c .clang-tidy
	@mkdir -p $(@D)
	@echo '  TIDY  $<'
	$(Q)clang-tidy --quiet $< -- $(LANGUAGE) $(DEFINES) $(shell pkg-config --cflags $(PKGS))
	@$(CC) $(LANGUAGE) $(DEFINES) -MM -MP -MT $@ -MF build/tidy/$*.d $<
	@touch $@

# A fuzz target is test/fuzz/NAME_fuzz.c; its first line says which archives it
# links ("fuzz: proto").  Replay needs only gcc: test/support/replay_main.c.
fuzz_uses = $(patsubst %,$(BUILD)/%.a,$(shell sed -n '1s|.*fuzz: *\([a-z ]*\).*|\1|p' $1))
REPLAYS := $(FUZZERS:%.c=$(BUILD)/%_replay)
$(foreach f,$(FUZZERS),$(eval $(BUILD)/$(f:.c=_replay): $(BUILD)/$(f:.c=.o) \
    $(BUILD)/test/fuzz/replay_main.o $(call fuzz_uses,$f)))
$(BUILD)/test/fuzz/%_fuzz_replay:
	$(LINK) $(LIBS)
fuzz-replay: $(REPLAYS)
	@set -e; for r in $^; do n=$$(basename $$r _fuzz_replay); \
	    $$r test/fuzz/corpus/$$n; done

# Real fuzzing: objects of its own, by clang, with coverage.
FUZZ_CFLAGS := -g -O1 $(LANGUAGE) $(DEFINES) -fprofile-instr-generate \
    -fcoverage-mapping -fsanitize=address,undefined
fuzz_rooms = $(shell sed -n '1s|.*fuzz: *\([a-z ]*\).*|\1|p' $1)
build/fuzz/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo '  FUZZ  $<'
	$(Q)clang $(FUZZ_CFLAGS) -fsanitize=fuzzer-no-link \
	    $(shell pkg-config --cflags $(PKGS)) -MMD -MP -c -o $@ $<
$(foreach f,$(FUZZERS),$(eval build/fuzz/bin/$(f:test/fuzz/%_fuzz.c=%): \
    $(f:%.c=build/fuzz/%.o) $(foreach r,$(call fuzz_rooms,$f),\
    $(patsubst %.c,build/fuzz/%.o,$(filter-out %/main.c,$(filter $r/%,$(SRCS)))))))
build/fuzz/bin/%:
	@mkdir -p $(@D)
	@echo '  LINK  $@'
	$(Q)clang $(FUZZ_CFLAGS) -fsanitize=fuzzer -o $@ $^ $(LIBS)
fuzz: build/fuzz/bin/$(FUZZ)
	scripts/fuzz $(FUZZ) $(or $(FUZZ_SECONDS),60)
fuzz-all: $(FUZZERS:test/fuzz/%_fuzz.c=build/fuzz/bin/%)
	@set -e; for f in $(^F); do \
	    scripts/fuzz $$f $(or $(FUZZ_SECONDS),60); done

install: all
	scripts/install-files $(BUILD)/bin "$(DESTDIR)" "$(or $(PREFIX),/usr)"

clean:
	rm -rf build

-include $(SRCS:%.c=$(BUILD)/%.d) $(TESTS:%.c=$(BUILD)/%.d) \
    $(FUZZERS:%.c=$(BUILD)/%.d) $(SRCS:%.c=build/fuzz/%.d) $(SUPPORT:%.c=$(BUILD)/%.d) \
    $(TOOL_SRC:%.c=$(BUILD)/%.d) $(LOAD_SRC:%.c=$(BUILD)/%.d) \
    $(wildcard $(BUILD)/test/failing/*.d $(BUILD)/static/test/failing/*.d) $(FAILPOINT:%.o=%.d) \
    $(GUARDIAN_OBJ:%.o=%.d) $(SRCS:%.c=build/tidy/%.d)
