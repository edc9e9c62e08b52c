/// Complaints: what went wrong where no assertion can be made, in destructors and in threads of the harness.
///
/// A program that crashes after the last assertion of a test, or prints a sanitizer report while it is being
/// stopped, must still fail that test. Such findings are filed here; the listener in catch_listener.cpp,
/// which is linked into every test executable, turns them into failed checks when the test ends. Papers that
/// help to understand a failure (the log of a program that has been stopped) are filed beside them and
/// printed only if the test failed.
///
/// All functions may be called from any thread.
#pragma once

#include <string>
#include <vector>

namespace harness {

/// Makes the running test fail, with this text, when it ends.
void complain(std::string text);
/// Hands over all complaints so far and forgets them.
std::vector<std::string> take_complaints();

/// Keeps a text to be printed if the running test fails.
void file_paper(std::string text);
/// Hands over all papers so far and forgets them.
std::vector<std::string> take_papers();

/// Says that somebody (the listener) will take the papers; without one, Program prints them itself.
void papers_will_be_taken(bool taken);
bool papers_are_taken();

} // namespace harness
