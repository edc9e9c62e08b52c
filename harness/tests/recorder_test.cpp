// What the recorder leaves behind: which files, and what is in them.
#include <harness/catch.hpp>
#include <harness/process.hpp>
#include <harness/recorder.hpp>
#include <harness/verdict.hpp>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

using namespace harness;
namespace fs = std::filesystem;

namespace {

// A folder that is gone when the test is over.
class Folder {
public:
    Folder() {
        std::string pattern = (fs::temp_directory_path() / "harness-recorder-XXXXXX").string();
        if (::mkdtemp(pattern.data()) == nullptr)
            throw Failure("no temporary folder could be made");
        path_ = pattern;
    }
    ~Folder() {
        std::error_code error;
        fs::remove_all(path_, error);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;

    std::string path() const { return path_.string(); }
    std::string file(const std::string& name) const { return (path_ / name).string(); }
    void write(const std::string& name) const { std::ofstream(path_ / name) << "{}\n"; }

    std::vector<std::string> names() const {
        std::vector<std::string> names;
        for (const auto& entry : fs::directory_iterator(path_))
            names.push_back(entry.path().filename().string());
        std::sort(names.begin(), names.end());
        return names;
    }
    // Of all files, one after the other.
    std::string text() const {
        std::string text;
        for (const std::string& name : names())
            text += text_of(file(name));
        return text;
    }
    static std::string text_of(const std::string& path) {
        std::ifstream in(path);
        std::ostringstream text;
        text << in.rdbuf();
        return text.str();
    }

private:
    fs::path path_;
};

std::vector<std::string> lines_of(const std::string& text) {
    std::vector<std::string> lines;
    std::istringstream in(text);
    for (std::string line; std::getline(in, line);)
        lines.push_back(line);
    return lines;
}

// `{"t":0.000012,"who":"a"}` → 0.000012
double time_of(const std::string& line) {
    constexpr std::string_view before = "{\"t\":";
    if (!line.starts_with(before))
        throw Failure("a line that does not begin with its time: " + line);
    return std::strtod(line.c_str() + before.size(), nullptr);
}

// Runs one test case of recorded/example.cpp.
Exit run_example(const std::string& test, const Environment& environment) {
    Process::Options options;
    options.environment = environment;
    Process example({HARNESS_RECORDED_EXAMPLE, test}, options);
    return example.wait_for_exit();
}

} // namespace

TEST_CASE("a record has a line for the beginning and the end and for each event") {
    const Folder folder;
    Recorder recorder(folder.path(), true);
    recorder.begin("some_tests", "Two words, (and more)");
    recorder.write("client 1", "connects", {{"to", "127.0.0.1:1"}, {"from", 40000}});
    recorder.end(false);

    const std::string path =
        folder.file("some_tests.two-words-and-more." + std::to_string(::getpid()) + ".jsonl");
    REQUIRE(recorder.path() == path);
    const auto lines = lines_of(Folder::text_of(path));
    REQUIRE(lines.size() == 3);
    REQUIRE(contains(lines[0], ",\"who\":\"the test\",\"what\":\"begins\",\"version\":1,"
                               "\"executable\":\"some_tests\",\"test\":\"Two words, (and more)\",\"pid\":"));
    REQUIRE(contains(lines[1],
                     ",\"who\":\"client 1\",\"what\":\"connects\",\"to\":\"127.0.0.1:1\",\"from\":40000}"));
    REQUIRE(contains(lines[2], ",\"who\":\"the test\",\"what\":\"ends\",\"outcome\":\"passed\"}"));
    REQUIRE(time_of(lines[0]) <= time_of(lines[1]));
    REQUIRE(time_of(lines[1]) <= time_of(lines[2]));
}

TEST_CASE("a record is valid JSON whatever a program prints") {
    const Folder folder;
    Recorder recorder(folder.path(), true);
    recorder.begin("t", "t");
    recorder.write("harbor", "prints", {{"text", "\"\\\x01\n\t…é\xff\xc3(\xe2\x80"}});
    recorder.end(false);
    REQUIRE(contains(folder.text(), R"("text":"\"\\\u0001\u000a\u0009…é\ufffd\ufffd(\ufffd\ufffd"})"));
}

TEST_CASE("only the records of tests that failed are kept unless all are to be") {
    const Folder folder;
    {
        Recorder recorder(folder.path(), false);
        recorder.begin("t", "good");
        REQUIRE(folder.names().size() == 1);
        recorder.end(false);
        REQUIRE(folder.names().empty());
        recorder.begin("t", "bad");
        recorder.end(true);
        REQUIRE(folder.names().size() == 1);
        REQUIRE(contains(folder.text(), "\"outcome\":\"failed\""));
    }
    Recorder recorder(folder.path(), true);
    recorder.begin("t", "good");
    recorder.end(false);
    REQUIRE(folder.names().size() == 2);
}

TEST_CASE("between tests nothing is recorded") {
    const Folder folder;
    Recorder recorder(folder.path(), true);
    recorder.write("nobody", "too early");
    recorder.begin("t", "t");
    recorder.end(false);
    recorder.write("nobody", "too late");
    REQUIRE(lines_of(folder.text()).size() == 2);
}

TEST_CASE("what ended processes have left of the same test is removed") {
    const Folder folder;
    Process gone({"true"});
    gone.wait_for_exit();
    const std::string dead = std::to_string(gone.pid());
    folder.write("t.one." + dead + ".jsonl");
    folder.write("t.one." + dead + "-2.jsonl");
    folder.write("t.one." + dead + ".svg");
    folder.write("t.one.1.jsonl"); // process 1 runs as long as the machine does
    folder.write("t.other." + dead + ".jsonl");
    folder.write("notes.txt");

    Recorder recorder(folder.path(), false);
    recorder.begin("t", "one");
    recorder.end(false);
    REQUIRE(folder.names() ==
            std::vector<std::string>{"notes.txt", "t.one.1.jsonl", "t.other." + dead + ".jsonl"});
}

TEST_CASE("a folder that cannot be written to is named") {
    const Folder folder;
    folder.write("file");
    Recorder recorder(folder.file("file"), false);
    try {
        recorder.begin("t", "t");
        FAIL("it began");
    } catch (const Failure& failure) {
        REQUIRE(contains(failure.what(), "HARBOR_TRACE=" + folder.file("file")));
    }

    const Exit exit = run_example("it passes", {{"HARBOR_TRACE", folder.file("file")}});
    REQUIRE(exit.status != 0);
    REQUIRE(contains(exit.log, "HARBOR_TRACE=" + folder.file("file")));
}

TEST_CASE("many threads can write at once") {
    const Folder folder;
    Recorder recorder(folder.path(), true);
    recorder.begin("t", "t");
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i)
        threads.emplace_back([&recorder, i] {
            for (int n = 0; n < 500; ++n)
                recorder.write("thread " + std::to_string(i), "counts", {{"n", n}});
        });
    for (std::thread& thread : threads)
        thread.join();
    recorder.end(false);
    const auto lines = lines_of(folder.text());
    REQUIRE(lines.size() == 4002);
    REQUIRE(std::all_of(lines.begin(), lines.end(), [](const std::string& line) {
        return line.starts_with("{\"t\":") && line.ends_with("}");
    }));
}

TEST_CASE("without HARBOR_TRACE tests leave nothing behind") {
    const Folder folder;
    const Exit exit = run_example("it fails and goes on", {{"TMPDIR", folder.path()}});
    REQUIRE(exit.status == 1);
    REQUIRE(folder.names().empty());
}

TEST_CASE("a test that passes leaves no record") {
    const Folder folder;
    const std::string deeper = folder.file("a/b"); // made if it is not there
    REQUIRE(run_example("it passes", {{"HARBOR_TRACE", deeper}}).exited_with(0));
    REQUIRE(fs::is_directory(deeper));
    REQUIRE(fs::is_empty(deeper));
    REQUIRE(run_example("it passes", {{"HARBOR_TRACE", deeper}, {"HARBOR_TRACE_KEEP", "1"}}).exited_with(0));
    REQUIRE_FALSE(fs::is_empty(deeper));
}

TEST_CASE("every kind of event is recorded on both sides") {
    const Folder folder;
    const Exit exit = run_example("it goes through everything",
                                  {{"HARBOR_TRACE", folder.path()}, {"HARBOR_TRACE_KEEP", "1"}});
    REQUIRE(exit.exited_with(0));
    const std::string text = folder.text();
    for (const char* const part : {
             R"("who":"backend A","what":"does not listen","on":"127.0.0.1:)",
             R"("who":"backend B","what":"listens","on":"127.0.0.1:)",
             R"("who":"client 1","what":"refused","by":"127.0.0.1:)",
             R"("who":"client 2","what":"connects","to":"127.0.0.1:)",
             R"("who":"backend B #1","what":"accepted","from":)",
             R"("who":"backend B #1","what":"sent","bytes":12,"first":"hello \\\"you\\\"\\n"})",
             R"("who":"client 2","what":"received","bytes":1,"first":"h"})",
             R"("who":"client 2","what":"sent","bytes":4,"first":"ciao"})",
             R"("who":"backend B #1","what":"FIN sent"})",
             R"("who":"client 2","what":"FIN received"})",
             R"("who":"client 2","what":"closed"})",
             R"("who":"backend B #1","what":"FIN received"})",
             R"("who":"backend C #1","what":"RST sent"})",
             R"("who":"client 3","what":"RST received"})",
             R"("who":"client 4","what":"asks","request":"GET /metrics HTTP/1.1"})",
             R"("who":"client 4","what":"is answered","status":200})",
             R"("who":"backend B","what":"stops listening"})",
             R"("who":"a client","what":"refused","by":"127.0.0.1:)",
             R"("who":"echo","what":"started","pid":)",
             R"("text":"listening on)",
             R"("signal":"SIGTERM"})",
             R"("who":"echo","what":"exited","pid":)",
             R"("who":"the test","what":"ends","outcome":"passed"})",
         })
        CHECK(contains(text, part));
}

TEST_CASE("a check that fails is recorded with its reason and its lesson") {
    const Folder folder;
    run_example("it fails and goes on", {{"HARBOR_TRACE", folder.path()}});
    const auto lines = lines_of(folder.text());
    REQUIRE(lines.size() == 4);
    REQUIRE(contains(lines[1], R"_("what":"fails","expected":"CHECK( same_bytes(\"two\", \"one\") )")_"));
    REQUIRE(contains(lines[1], "the bytes differ from offset 0 on"));
    REQUIRE(contains(lines[1], "chapter 00, Counting"));
    REQUIRE(contains(lines[1], "example.cpp"));
    REQUIRE(contains(lines[2], "and goes on"));
    REQUIRE(contains(lines[3], "\"outcome\":\"failed\""));
}

TEST_CASE("what happens while a failure unwinds is marked") {
    const Folder folder;
    run_example("it fails with a wait cut short", {{"HARBOR_TRACE", folder.path()}});
    const std::string text = folder.text();
    REQUIRE(contains(text, R"("who":"client 1","what":"FIN received"})"));
    REQUIRE(contains(text, R"("who":"client 1","what":"closed","unwinding":1})"));
    REQUIRE(contains(text, "client 1 was to receive 1 byte"));
}

TEST_CASE("each way through a test has a record of its own") {
    const Folder folder;
    run_example("it comes several times and fails every other time", {{"HARBOR_TRACE", folder.path()}});
    REQUIRE(folder.names().size() == 2);
    REQUIRE(contains(folder.text(), "time 2"));
    REQUIRE(contains(folder.text(), "time 4"));
    REQUIRE_FALSE(contains(folder.text(), "time 1"));
}

TEST_CASE("the record of a test that was killed is there as far as it came") {
    const Folder folder;
    const Exit exit = run_example("it is killed in the middle", {{"HARBOR_TRACE", folder.path()}});
    REQUIRE(exit.killed_by(SIGKILL));
    const auto lines = lines_of(folder.text());
    REQUIRE(lines.size() == 2);
    REQUIRE(contains(lines[1], "the last words"));
}

TEST_CASE("in a record a cause is earlier than its effect") {
    const Folder folder;
    run_example("causes come before their effects",
                {{"HARBOR_TRACE", folder.path()}, {"HARBOR_TRACE_KEEP", "1"}});
    auto lines = lines_of(folder.text());
    std::stable_sort(lines.begin(), lines.end(),
                     [](const auto& a, const auto& b) { return time_of(a) < time_of(b); });
    // In the order of time each byte goes round: client, backend, backend, client.
    std::vector<std::string> came;
    for (const std::string& line : lines)
        for (const char* const what :
             {"\"client 1\",\"what\":\"sent\"", "\"backend A #1\",\"what\":\"received\"",
              "\"backend A #1\",\"what\":\"sent\"", "\"client 1\",\"what\":\"received\""})
            if (line.find(what) != std::string::npos)
                came.emplace_back(what);
    REQUIRE(came.size() == 800);
    for (std::size_t i = 0; i + 4 < came.size(); ++i)
        REQUIRE(came[i] == came[i + 4]);
    REQUIRE(contains(came[0], "client 1\",\"what\":\"sent"));
    REQUIRE(contains(came[1], "received"));
}
