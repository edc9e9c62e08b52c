/// Scraping: a small HTTP client, and strict parsers for the two forms of `/metrics`.
///
///     Metrics m = scrape(harbor.metrics_endpoint());
///     REQUIRE(m.value("harbor_accepts_total") == 1);
///     REQUIRE(m.value("harbor_picks_by_backend_total", {{"backend", a.address()}}) == 1);
///
/// Strict, because a real scraper is: it drops the whole page for one malformed line, and nobody notices
/// until the graph is needed. A malformed page is a Failure that shows the line.
///
/// Everything here may be used from any thread.
#pragma once

#include "deadline.hpp"
#include "socket.hpp"

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace harness {

struct HttpReply {
    int status = 0;
    std::string reason;
    std::map<std::string, std::string> headers; ///< names in lower case
    std::string body;
    Ending ending = Ending::silence; ///< how the connection ended; `silence` for one kept open

    /// The value of a header, empty if it is not there. Any case.
    std::string header(std::string_view name) const;
};
std::ostream& operator<<(std::ostream& out, const HttpReply& reply);

/// Sends `raw_request` as it is and reads one reply: as long as Content-Length says, else to the end of
/// stream. Throws Failure if what comes is not an HTTP reply.
HttpReply http(const Endpoint& endpoint, std::string_view raw_request);
/// GET with `Host` and `Connection: close`, and `headers`.
HttpReply http_get(const Endpoint& endpoint, std::string_view path,
                   const std::vector<std::pair<std::string, std::string>>& headers = {});
/// Takes one reply apart; `text` is all that came.
HttpReply parse_http_reply(std::string_view text);

using Labels = std::map<std::string, std::string>;

/// One page of the Prometheus text format 0.0.4.
class Metrics {
public:
    /// Throws Failure if `text` is malformed.
    static Metrics parse(std::string_view text);

    /// Throws Failure, with the samples there are, if this one is not.
    double value(const std::string& name, const Labels& labels = {}) const;
    bool has(const std::string& name, const Labels& labels = {}) const;
    /// `counter`, `gauge`, …; empty if the page does not say. For a sample of a histogram (`x_bucket`,
    /// `x_sum`, `x_count`) what it says of the histogram `x`.
    std::string type(const std::string& name) const;
    std::string help(const std::string& name) const;
    /// All samples of a name, with their labels.
    std::map<Labels, double> samples(const std::string& name) const;
    std::vector<std::string> names() const;
    const std::string& text() const { return text_; }

private:
    std::map<std::string, std::map<Labels, double>> samples_;
    std::map<std::string, std::string> types_;
    std::map<std::string, std::string> helps_;
    std::string text_;
};

/// GET /metrics; throws Failure unless the reply is 200, text/plain with version=0.0.4, and well-formed.
Metrics scrape(const Endpoint& endpoint);

/// Scrapes until the sample has this value.
Verdict metric_becomes(const Endpoint& endpoint, const std::string& name, double expected,
                       const Labels& labels = {});

/// A JSON object of numbers and of objects of numbers: all that the JSON form of `/metrics` needs.
struct JsonObject {
    std::map<std::string, double> numbers;
    std::map<std::string, std::map<std::string, double>> objects;

    /// Throw Failure if there is no such member.
    double number(const std::string& name) const;
    const std::map<std::string, double>& object(const std::string& name) const;
};

/// Strict: no trailing comma, no duplicate name, nothing after the object. Throws Failure that shows the
/// place.
JsonObject parse_json(std::string_view text);

/// GET /metrics with `Accept: application/json`; throws Failure unless it is 200, application/json and
/// well-formed.
JsonObject scrape_json(const Endpoint& endpoint);

} // namespace harness
