// Hand-written parsers, a cursor over the text each. Small libraries for both formats exist, but they are
// lenient where a test must not be, and a learner can read these in five minutes.
#include "scrape.hpp"
#include "recorder.hpp"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <ostream>
#include <set>

namespace harness {
namespace {

std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    return result;
}

std::string_view trimmed(std::string_view text) {
    while (!text.empty() && (text.front() == ' ' || text.front() == '\t'))
        text.remove_prefix(1);
    while (!text.empty() && (text.back() == ' ' || text.back() == '\t'))
        text.remove_suffix(1);
    return text;
}

bool starts_with(std::string_view text, std::string_view start) {
    return text.substr(0, start.size()) == start;
}

bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

bool is_name_start(char c, bool colon_allowed) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (colon_allowed && c == ':');
}

} // namespace

// ---- HTTP
// ------------------------------------------------------------------------------------------------------

std::string HttpReply::header(std::string_view name) const {
    const auto found = headers.find(lower(name));
    return found == headers.end() ? "" : found->second;
}

std::ostream& operator<<(std::ostream& out, const HttpReply& reply) {
    out << reply.status << ' ' << reply.reason << '\n';
    for (const auto& [name, value] : reply.headers)
        out << name << ": " << value << '\n';
    return out << '\n' << printable(reply.body, 2000);
}

HttpReply parse_http_reply(std::string_view text) {
    const auto malformed = [&](const std::string& why) {
        return Failure("not an HTTP reply: " + why + "\n  " + printable(text, 500));
    };
    const std::size_t head_end = text.find("\r\n\r\n");
    if (head_end == std::string_view::npos)
        throw malformed("there is no empty line after the headers");
    std::string_view head = text.substr(0, head_end + 2);

    HttpReply reply;
    const std::string_view first = head.substr(0, head.find("\r\n"));
    const bool shaped = (starts_with(first, "HTTP/1.1 ") || starts_with(first, "HTTP/1.0 ")) &&
                        first.size() >= 12 && std::all_of(first.begin() + 9, first.begin() + 12, is_digit) &&
                        (first.size() == 12 || first[12] == ' ');
    if (!shaped)
        throw malformed("the status line is " + printable(first));
    std::from_chars(first.data() + 9, first.data() + 12, reply.status);
    reply.reason = first.size() > 13 ? std::string(first.substr(13)) : "";

    for (head.remove_prefix(first.size() + 2); !head.empty();) {
        const std::string_view line = head.substr(0, head.find("\r\n"));
        head.remove_prefix(line.size() + 2);
        const std::size_t colon = line.find(':');
        if (colon == std::string_view::npos || colon == 0 || line[colon - 1] == ' ')
            throw malformed("a header line is " + printable(line));
        reply.headers[lower(line.substr(0, colon))] = std::string(trimmed(line.substr(colon + 1)));
    }
    reply.body = std::string(text.substr(head_end + 4));
    return reply;
}

HttpReply http(const Endpoint& endpoint, std::string_view raw_request) {
    Client client(endpoint);
    record(client.name(), "asks", {{"request", raw_request.substr(0, raw_request.find("\r\n"))}});
    client.send(raw_request);
    std::string text;
    Ending ending = Ending::silence;
    while (text.find("\r\n\r\n") == std::string::npos && ending == Ending::silence) {
        // One byte a call, so that not a byte of the body is touched; heads are short.
        try {
            const std::string some = client.receive_some(1);
            ending = some.empty() ? Ending::end_of_stream : ending;
            text += some;
        } catch (const Failure& failure) {
            throw Failure("there was no whole HTTP reply to " + printable(raw_request) + ": " +
                          failure.what() + "\n  so far: " + printable(text));
        }
    }
    HttpReply reply = parse_http_reply(text);
    record(client.name(), "is answered", {{"status", reply.status}});
    const std::string length = reply.header("Content-Length");
    if (!length.empty()) {
        std::size_t size = 0;
        const auto [end, error] = std::from_chars(length.data(), length.data() + length.size(), size);
        if (error != std::errc{} || end != length.data() + length.size())
            throw Failure("Content-Length is not a number: " + printable(length));
        if (!starts_with(raw_request, "HEAD "))
            reply.body = client.receive(size);
    }
    // What follows: nothing on a connection kept open, the body or the end on one that is closed.
    const bool closes = length.empty() || lower(reply.header("Connection")) == "close" ||
                        lower(std::string(raw_request)).find("connection: close") != std::string::npos;
    if (closes) {
        const Received rest = client.receive_until_end();
        if (!length.empty() && !rest.bytes.empty())
            throw Failure("after a body of Content-Length " + length +
                          " came more: " + printable(rest.bytes));
        reply.body += rest.bytes;
        reply.ending = rest.ending;
    }
    return reply;
}

HttpReply http_get(const Endpoint& endpoint, std::string_view path,
                   const std::vector<std::pair<std::string, std::string>>& headers) {
    std::string request =
        "GET " + std::string(path) + " HTTP/1.1\r\nHost: " + endpoint.text() + "\r\nConnection: close\r\n";
    for (const auto& [name, value] : headers)
        request.append(name).append(": ").append(value).append("\r\n");
    return http(endpoint, request + "\r\n");
}

// ---- Prometheus text
// -------------------------------------------------------------------------------------------

namespace {

// One line of the page; every complaint shows it.
class Line {
public:
    Line(std::string_view text, std::size_t number) : text_(text), number_(number) {}

    [[noreturn]] void malformed(const std::string& why) const {
        throw Failure("malformed metrics text, line " + std::to_string(number_) + ": " + why + "\n  " +
                      printable(text_, 500) + "\n   " + std::string(at_, ' ') + "^");
    }

    bool done() const { return at_ >= text_.size(); }
    char next() const { return done() ? '\0' : text_[at_]; }
    bool take(char c) {
        if (next() != c || done())
            return false;
        ++at_;
        return true;
    }
    void expect(char c) {
        if (!take(c))
            malformed(std::string("`") + c + "` was expected here");
    }
    void skip_blanks() {
        while (next() == ' ' || next() == '\t')
            ++at_;
    }
    std::string name(bool colon_allowed) {
        if (!is_name_start(next(), colon_allowed))
            malformed("a name was expected here");
        const std::size_t from = at_;
        while (is_name_start(next(), colon_allowed) || is_digit(next()))
            ++at_;
        return std::string(text_.substr(from, at_ - from));
    }
    std::string_view word() {
        const std::size_t from = at_;
        while (!done() && next() != ' ' && next() != '\t')
            ++at_;
        return text_.substr(from, at_ - from);
    }
    std::string rest() {
        const std::string result(text_.substr(at_));
        at_ = text_.size();
        return result;
    }

    // After the opening quote: \\, \" and \n are the only escapes.
    std::string quoted() {
        expect('"');
        std::string value;
        while (!take('"')) {
            if (done())
                malformed("the closing quote is missing");
            if (take('\\')) {
                if (take('\\'))
                    value += '\\';
                else if (take('"'))
                    value += '"';
                else if (take('n'))
                    value += '\n';
                else
                    malformed("an unknown escape");
            } else {
                value += text_[at_++];
            }
        }
        return value;
    }

    Labels labels() {
        Labels result;
        if (!take('{'))
            return result;
        skip_blanks();
        while (!take('}')) {
            const std::string label = name(false);
            skip_blanks();
            expect('=');
            skip_blanks();
            if (!result.emplace(label, quoted()).second)
                malformed("the label " + label + " stands here twice");
            skip_blanks();
            if (next() != '}') {
                expect(',');
                skip_blanks();
            }
        }
        return result;
    }

    double number() {
        const std::size_t from = at_;
        const std::string text(word());
        if (text == "+Inf" || text == "Inf")
            return std::numeric_limits<double>::infinity();
        if (text == "-Inf")
            return -std::numeric_limits<double>::infinity();
        if (text == "NaN")
            return std::nan("");
        char* end = nullptr;
        const double value = std::strtod(text.c_str(), &end);
        const bool plain = !text.empty() && text.find_first_not_of("0123456789+-.eE") == std::string::npos;
        if (!plain || end != text.c_str() + text.size()) {
            at_ = from;
            malformed("a number was expected here");
        }
        return value;
    }

private:
    std::string_view text_;
    std::size_t number_;
    std::size_t at_ = 0;
};

std::string describe(const std::string& name, const Labels& labels) {
    std::string text;
    for (const auto& [label, value] : labels) {
        text += text.empty() ? "" : ",";
        text += label + "=" + printable(value);
    }
    return text.empty() ? name : name + "{" + text + "}";
}

// histogram and summary put suffixes on the name they were declared with.
std::string family_of(const std::string& name, const std::map<std::string, std::string>& types) {
    for (const std::string_view suffix : {"_bucket", "_sum", "_count"}) {
        if (name.size() <= suffix.size() || name.substr(name.size() - suffix.size()) != suffix)
            continue;
        const std::string base = name.substr(0, name.size() - suffix.size());
        const auto type = types.find(base);
        if (type != types.end() && (type->second == "histogram" || type->second == "summary"))
            return base;
    }
    return name;
}

} // namespace

Metrics Metrics::parse(std::string_view text) {
    static const std::set<std::string> known_types = {"counter", "gauge", "histogram", "summary", "untyped"};
    if (!text.empty() && text.back() != '\n')
        throw Failure("malformed metrics text: the last line must end with a newline; it is " +
                      printable(text.substr(text.rfind('\n') + 1)));
    Metrics page;
    page.text_ = std::string(text);
    std::set<std::string> finished; // all lines of a metric must stand together
    std::string current;

    std::size_t number = 0;
    while (!text.empty()) {
        const std::string_view content = text.substr(0, text.find('\n'));
        text.remove_prefix(content.size() + 1);
        Line line(content, ++number);
        line.skip_blanks();
        if (line.done())
            continue;

        const auto belongs_to = [&](const std::string& family) {
            if (family == current)
                return;
            finished.insert(current);
            if (finished.contains(family))
                line.malformed("the lines of " + family + " do not stand together");
            current = family;
        };

        if (line.take('#')) {
            line.skip_blanks();
            const std::string_view keyword = line.word();
            if (keyword != "HELP" && keyword != "TYPE")
                continue; // a comment
            line.skip_blanks();
            const std::string name = line.name(true);
            belongs_to(name);
            if (keyword == "HELP") {
                line.skip_blanks();
                if (!page.helps_.emplace(name, line.rest()).second)
                    line.malformed("a second HELP for " + name);
                continue;
            }
            line.skip_blanks();
            const std::string type(trimmed(line.rest()));
            if (!known_types.contains(type))
                line.malformed("unknown type " + printable(type));
            if (page.samples_.contains(name))
                line.malformed("TYPE must come before the first sample of " + name);
            if (!page.types_.emplace(name, type).second)
                line.malformed("a second TYPE for " + name);
            continue;
        }

        const std::string name = line.name(true);
        belongs_to(family_of(name, page.types_));
        line.skip_blanks();
        const Labels labels = line.labels();
        line.skip_blanks();
        const double value = line.number();
        line.skip_blanks();
        if (!line.done()) { // a time stamp
            const std::string stamp(line.word());
            const std::size_t sign = starts_with(stamp, "-") ? 1 : 0;
            if (stamp.size() == sign || stamp.find_first_not_of("0123456789", sign) != std::string::npos)
                line.malformed("after the value only a time stamp in milliseconds may follow");
            line.skip_blanks();
            if (!line.done())
                line.malformed("nothing may follow the time stamp");
        }
        if (!page.samples_[name].emplace(labels, value).second)
            line.malformed("the sample " + describe(name, labels) + " stands here twice");
    }
    return page;
}

bool Metrics::has(const std::string& name, const Labels& labels) const {
    const auto found = samples_.find(name);
    return found != samples_.end() && found->second.contains(labels);
}

double Metrics::value(const std::string& name, const Labels& labels) const {
    if (has(name, labels))
        return samples_.at(name).at(labels);
    throw Failure("there is no sample " + describe(name, labels) + " in\n" + text_);
}

std::string Metrics::type(const std::string& name) const {
    const auto found = types_.find(name);
    return found == types_.end() ? "" : found->second;
}

std::string Metrics::help(const std::string& name) const {
    const auto found = helps_.find(name);
    return found == helps_.end() ? "" : found->second;
}

std::map<Labels, double> Metrics::samples(const std::string& name) const {
    const auto found = samples_.find(name);
    return found == samples_.end() ? std::map<Labels, double>{} : found->second;
}

std::vector<std::string> Metrics::names() const {
    std::vector<std::string> result;
    for (const auto& [name, samples] : samples_)
        result.push_back(name);
    return result;
}

Metrics scrape(const Endpoint& endpoint) {
    const HttpReply reply = http_get(endpoint, "/metrics");
    const std::string type = lower(reply.header("Content-Type"));
    if (reply.status != 200 || !starts_with(type, "text/plain") ||
        type.find("version=0.0.4") == std::string::npos)
        throw Failure(
            "GET /metrics must give status 200 and Content-Type `text/plain; version=0.0.4`, but gave " +
            std::to_string(reply.status) + " and " + printable(type) + " with the body\n" + reply.body);
    return Metrics::parse(reply.body);
}

Verdict metric_becomes(const Endpoint& endpoint, const std::string& name, double expected,
                       const Labels& labels) {
    return eventually(
        [&]() -> Verdict {
            const Metrics page = scrape(endpoint);
            if (!page.has(name, labels))
                return Verdict::no("there is no such sample in\n" + page.text());
            const double value = page.value(name, labels);
            Verdict verdict = is_between(describe(name, labels), value, expected, expected);
            return verdict;
        },
        describe(name, labels) + " to become " + std::to_string(expected));
}

// ---- JSON
// ------------------------------------------------------------------------------------------------------

namespace {

class Json {
public:
    explicit Json(std::string_view text) : text_(text) {}

    JsonObject whole() {
        JsonObject result;
        object([&](const std::string& name) {
            if (result.numbers.contains(name) || result.objects.contains(name))
                malformed("the name " + printable(name) + " stands here twice");
            if (next() != '{') {
                result.numbers[name] = number();
                return;
            }
            auto& inner = result.objects[name];
            object([&](const std::string& inner_name) {
                if (inner.contains(inner_name))
                    malformed("the name " + printable(inner_name) + " stands here twice");
                inner[inner_name] = number();
            });
        });
        skip_blanks();
        if (at_ != text_.size())
            malformed("nothing may follow the object");
        return result;
    }

private:
    [[noreturn]] void malformed(const std::string& why) const {
        const std::size_t from = at_ > 30 ? at_ - 30 : 0;
        throw Failure("malformed JSON at offset " + std::to_string(at_) + ": " + why + "\n  …" +
                      printable(text_.substr(from, at_ - from)) + " HERE " +
                      printable(text_.substr(at_, 40)));
    }

    char next() const { return at_ < text_.size() ? text_[at_] : '\0'; }

    void skip_blanks() {
        while (next() == ' ' || next() == '\t' || next() == '\n' || next() == '\r')
            ++at_;
    }

    bool take(char c) {
        if (next() != c)
            return false;
        ++at_;
        return true;
    }

    void expect(char c) {
        if (!take(c))
            malformed(std::string("`") + c + "` was expected");
    }

    // { "name": value, … }, with the value left to `member`.
    template<typename Member>
    void object(const Member& member) {
        skip_blanks();
        expect('{');
        skip_blanks();
        if (take('}'))
            return;
        do {
            skip_blanks();
            const std::string name = string();
            skip_blanks();
            expect(':');
            skip_blanks();
            member(name);
            skip_blanks();
        } while (take(','));
        expect('}');
    }

    std::string string() {
        expect('"');
        std::string value;
        while (!take('"')) {
            if (at_ >= text_.size() || static_cast<unsigned char>(next()) < 0x20)
                malformed("the closing quote is missing");
            if (!take('\\')) {
                value += text_[at_++];
                continue;
            }
            static constexpr std::string_view escapes = "\"\\/bfnrt";
            static constexpr std::string_view meanings = "\"\\/\b\f\n\r\t";
            const std::size_t which = next() == '\0' ? std::string_view::npos : escapes.find(next());
            if (which != std::string_view::npos) {
                value += meanings[which];
                ++at_;
            } else if (take('u')) {
                value += short_code_point();
            } else {
                malformed("an unknown escape");
            }
        }
        return value;
    }

    // \u00xx: names of metrics and addresses are ASCII, so more is not understood.
    char short_code_point() {
        unsigned code = 0;
        const std::string_view digits = text_.substr(at_, 4);
        const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
        if (digits.size() != 4 || error != std::errc{} || end != digits.data() + 4 || code > 0x7f)
            malformed("four hexadecimal digits, for an ASCII character, were expected");
        at_ += 4;
        return static_cast<char>(code);
    }

    void digits() {
        if (!is_digit(next()))
            malformed("a digit was expected");
        while (is_digit(next()))
            ++at_;
    }

    double number() {
        const std::size_t from = at_;
        take('-');
        if (!take('0'))
            digits();
        if (take('.'))
            digits();
        if (take('e') || take('E')) {
            if (!take('+'))
                take('-');
            digits();
        }
        return std::strtod(std::string(text_.substr(from, at_ - from)).c_str(), nullptr);
    }

    std::string_view text_;
    std::size_t at_ = 0;
};

} // namespace

JsonObject parse_json(std::string_view text) {
    return Json(text).whole();
}

double JsonObject::number(const std::string& name) const {
    const auto found = numbers.find(name);
    if (found == numbers.end())
        throw Failure("the JSON object has no number called " + printable(name));
    return found->second;
}

const std::map<std::string, double>& JsonObject::object(const std::string& name) const {
    const auto found = objects.find(name);
    if (found == objects.end())
        throw Failure("the JSON object has no object called " + printable(name));
    return found->second;
}

JsonObject scrape_json(const Endpoint& endpoint) {
    const HttpReply reply = http_get(endpoint, "/metrics", {{"Accept", "application/json"}});
    if (reply.status != 200 || !starts_with(lower(reply.header("Content-Type")), "application/json"))
        throw Failure("GET /metrics with Accept: application/json must give status 200 and Content-Type "
                      "`application/json`, but gave " +
                      std::to_string(reply.status) + " and " + printable(reply.header("Content-Type")) +
                      " with the body\n" + reply.body);
    return parse_json(reply.body);
}

} // namespace harness
