"""native/ keeps its floors and its manners; each rule first proves that it can see an offence."""

import pytest

from . import cpp_rules as cpp
from .tree import CPP_SUFFIXES, Sources, require_none, sources


@pytest.fixture(scope="module")
def native() -> Sources:
    return sources("native", suffixes=CPP_SUFFIXES)


def test_includes_go_down_the_floors_only(native):
    require_none(cpp.climbing_includes(native))


def test_every_native_file_stands_on_a_floor(native):
    require_none(cpp.homeless_files(native))


def test_quoted_includes_name_our_own_files(native):
    require_none(cpp.unknown_includes(native))


def test_no_header_includes_itself_through_others(native):
    require_none(cpp.include_cycles(native))


def test_cuda_and_interpreter_headers_stay_in_their_rooms(native):
    require_none(cpp.headers_out_of_place(native))


def test_native_code_says_no_new_goto_define_or_getenv(native):
    require_none(cpp.forbidden_words(native))


def test_every_header_is_guarded_by_pragma_once(native):
    require_none(cpp.unguarded_headers(native))


def test_native_code_keeps_no_state_outside_objects(native):
    require_none(cpp.mutable_statics(native))


def test_every_registered_name_is_in_the_documents(native):
    require_none(cpp.undocumented_entries(native, sources("docs", "README.md", suffixes=(".md",))))


@pytest.mark.parametrize(
    ("path", "include"),
    [
        ("native/base/clock.cc", '"transport/transport.h"'),
        ("native/device/host.cc", '"rendezvous/store.h"'),  # a sibling of the same floor
        ("native/fusion/bucket.cc", "<codec/codec.h>"),  # brackets do not hide it
        ("native/engine/engine.cc", '"../bindings/module.h"'),
        ("native/engine/engine.cc", '"kernels/im2col.h"'),
        ("native/device/host.cc", '"cuda/kernels.h"'),
        ("native/kernels/im2col.cc", '"transport/transport.h"'),
        ("native/cuda/streams.cc", '"device/device.h"'),
    ],
)
def test_an_include_that_climbs_is_found(path, include):
    target = "native/" + include.strip('"<>').removeprefix("../")
    files = {path: f"#include {include}\n", target: "#pragma once\n"}
    assert cpp.climbing_includes(files) == [f"{path}:1: {path} includes {target}"]


def test_an_include_that_descends_or_stays_is_allowed():
    files = {
        "native/engine/engine.cc": '#include "engine/engine.h"\n#include "handle.h"\n',
        "native/engine/engine.h": '#include "collective/schedule.h"\n#include <span>\n',
        "native/engine/handle.h": '#include "base/error.h"\n',
        "native/collective/schedule.h": "",
        "native/base/error.h": "",
        "native/cuda/streams.cc": '#include "device/plugin_abi.h"\n#include <cuda_runtime.h>\n',
        "native/device/plugin_abi.h": "",
    }
    assert cpp.climbing_includes(files) == []
    assert cpp.homeless_files(files) == []
    assert cpp.unknown_includes(files) == []
    assert cpp.headers_out_of_place(files) == []


def test_a_file_on_no_floor_is_found():
    files = {"native/helpers/x.cc": "", "native/main.cc": "", "native/base/error.cc": ""}
    assert len(cpp.homeless_files(files)) == 2


def test_a_quoted_include_of_nothing_is_found():
    files = {"native/base/log.cc": '#include "nanobind/nanobind.h"\n'}
    assert cpp.unknown_includes(files) == [
        'native/base/log.cc:1: "nanobind/nanobind.h" names no file under native/'
    ]


def test_an_include_cycle_is_found():
    files = {
        "native/base/a.h": '#include "base/b.h"\n',
        "native/base/b.h": '#include "c.h"\n',
        "native/base/c.h": "#include <base/a.h>\n",
        "native/base/a.cc": '#include "base/a.h"\n',
    }
    (cycle,) = cpp.include_cycles(files)
    assert set(cycle.split(" -> ")) == {f"native/base/{name}.h" for name in "abc"}


@pytest.mark.parametrize(
    "include",
    [
        "<cuda_runtime.h>",
        "<cuda_fp16.h>",
        "<nccl.h>",
        "<nvtx3/nvToolsExt.h>",
        "<nanobind/nanobind.h>",
        "<Python.h>",
    ],
)
def test_a_header_out_of_its_room_is_found(include):
    assert len(cpp.headers_out_of_place({"native/engine/engine.cc": f"#include {include}\n"})) == 1


@pytest.mark.parametrize(
    "line",
    [
        "  auto* buffer = new float[8];",
        "  if (failed) goto close;",
        "#define CHECK(x) do_check(x)",
        "  # define LIMIT 3",
        '  const char* home = std::getenv("HOME");',
    ],
)
def test_a_forbidden_word_is_found(line):
    found = cpp.forbidden_words({"native/base/log.cc": f"/* first\nlines */\n{line}\n"})
    assert len(found) == 1
    assert found[0].startswith("native/base/log.cc:3: ")


def test_a_forbidden_word_in_prose_is_allowed():
    text = """
#include <new>
        // a new buffer; never goto
        /* #define, getenv */
        throw Error("no new memory \\" new");
        constexpr char kScript[] = R"(goto new)";
        char quote = '"'; int renewed = 1'000;  // new
    """
    assert cpp.forbidden_words({"native/base/log.cc": text}) == []


def test_an_unguarded_header_is_found():
    files = {"native/base/a.h": "int f();\n", "native/base/b.h": "/// b\n#pragma once\n"}
    assert cpp.unguarded_headers(files) == ["native/base/a.h: no #pragma once"]


@pytest.mark.parametrize(
    "line",
    [
        "  static int count = 0;",
        "  static std::mutex mutex;",
        "  static std::map<std::string, std::function<void()>> table{};",
        "  static const char* name = nullptr;",
        "  static Registry registry(3);",
        "  thread_local int depth = 0;",
        "std::atomic<uint64_t> next_id{1};",
        "inline std::vector<int> seen;",
        "Registry* current = nullptr;",
        "int Engine::count = 0;",
    ],
)
def test_mutable_state_outside_objects_is_found(line):
    assert len(cpp.mutable_statics({"native/base/log.cc": f"namespace a {{\n{line}\n}}\n"})) == 1


def test_constants_functions_and_members_are_no_mutable_state():
    text = """
namespace ringsync {
constexpr size_t kLimit = 8;
const std::vector<int> kTable = {1, 2};
static constexpr const char* kName = "x";
static const char* const kPlace = "y";
static int add(int a, int b);
static std::vector<std::pair<int, int>> pairs(std::span<const int> xs) {
  return static_cast<int>(xs.size()) == 0;
}
using Clock = std::chrono::steady_clock;
template <typename T>
concept Number = std::integral<T>;
bool operator==(const A& a, const A& b) { return a.x == b.x; }
[[nodiscard]] Schedule build(const Problem& problem);
std::unique_ptr<Store> make_store(std::string path = "");
enum class Kind { kA };
struct Range {
  size_t offset = 0;
  static Range whole(size_t count);
};
}
"""
    assert cpp.mutable_statics({"native/base/log.cc": text}) == []


def test_a_registered_name_that_no_document_tells_is_found():
    text = '  std::string_view name() const override { return "ring"; }\n'
    files = {"native/collective/ring.cc": text}
    assert cpp.undocumented_entries(files, {"docs/a.md": "takes `ring`"}) == []
    assert cpp.undocumented_entries(files, {"docs/a.md": "a ring"}) == [
        "native/collective/ring.cc: `ring` is named in no document"
    ]
