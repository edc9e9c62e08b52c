// Names of backends, each ended by a zero byte: whatever they are, the pages with the metrics have to be well
// formed, and what a strict reader gets out of them has to be the names again, and the numbers.
//
// The reader is the harness's, which was written for the tests of chapter 06 from the description of the
// format, and not from metrics.cpp.
#include "input.hpp"
#include "resolver.hpp"

#include "balancer.hpp"
#include "metrics.hpp"

#include <harness/scrape.hpp>
#include <harness/verdict.hpp>

#include <algorithm>
#include <set>

namespace {

using fuzz::expect;

harbor::Config config_with(fuzz::Input input) {
    harbor::Config config;
    std::set<std::string> names;
    while (!input.empty() && config.backends.size() < 8) {
        const harbor::Address address{input.text(), "1"};
        if (names.insert(to_text(address)).second) {
            config.backends.push_back(address);
        }
    }
    return config;
}

} // namespace

extern "C" int LLVMFuzzerInitialize(int*, char***) {
    fuzz::let_resolve([](std::string_view) { return true; });
    return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const harbor::Config config = config_with({data, size});
    if (config.backends.empty()) {
        return 0;
    }
    harbor::Balancer balancer(config);
    harbor::WorkerMetrics& worker = balancer.metrics.front();
    std::uint64_t number = size; // anything that differs from line to line
    for (auto& backend : worker.backends) {
        backend.picks.add(++number);
        backend.dial_failures.add(++number);
    }
    worker.dial_seconds.observe(std::chrono::nanoseconds(number * 1'000'003));

    const std::string text = metrics_as_text(balancer);
    const std::string json = metrics_as_json(balancer);
    try {
        const harness::Metrics page = harness::Metrics::parse(text);
        const harness::JsonObject object = harness::parse_json(json);
        const auto& picks = object.object("picks_by_backend");
        expect(page.samples("harbor_picks_by_backend_total").size() == config.backends.size() &&
                   picks.size() == config.backends.size(),
               "two backends have become one, or one two");
        for (const harbor::Backend& backend : balancer.pool.backends()) {
            const auto expected = static_cast<double>(worker.backends[backend.index].picks.value());
            expect(page.value("harbor_picks_by_backend_total", {{"backend", backend.name}}) == expected,
                   "another number than was counted");
            expect(picks.contains(backend.name) && picks.at(backend.name) == expected,
                   "another number, or name, in the JSON");
        }
    } catch (const harness::Failure& failure) {
        fuzz::fail(failure.what());
    }
    return 0;
}
