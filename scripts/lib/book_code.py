"""Code as HTML: syntax highlighting of C++ and CMake, rows of a diff as lines of a listing, and whose code it is.

A listing is made to be read back (book_read.py): a line is one element, its class says whether it was added, removed or
is context, and its number stands in an attribute that the style sheet shows. What the reader selects and copies is the
code alone, without numbers and without removed lines.
"""
import html
import re

KEYWORDS = frozenset("""
    alignas alignof auto bool break case catch char class co_await co_return co_yield const consteval constexpr constinit
    const_cast continue default delete do double dynamic_cast else enum explicit extern false final float for friend goto if
    inline int long mutable namespace new noexcept nullptr operator override private protected public reinterpret_cast
    requires return short signed sizeof static static_assert static_cast struct switch template this thread_local throw
    true try typedef typename union unsigned using virtual void volatile while concept export""".split())

CPP = re.compile(r"""
    (?P<comment>//.*|/\*.*?\*/)
  | (?P<include>^\s*\#\s*include\s*(?:<[^>]*>|"[^"]*"))
  | (?P<directive>^\s*\#\s*\w+)
  | (?P<string>(?:u8|[LuU])?R"\(.*?\)"|(?:u8|[LuU])?"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])+')
  | (?P<number>\b\d[\w'.]*)
  | (?P<word>[A-Za-z_]\w*)
  | (?P<attribute>\[\[\w+\]\])
""", re.VERBOSE)

CMAKE = re.compile(r"""(?P<comment>\#.*)|(?P<string>"[^"]*")|(?P<number>\$\{\w+\})|(?P<word>[A-Za-z_]\w*(?=\())""", re.VERBOSE)


def span(kind, text):
    return f'<span class="h-{kind}">{html.escape(text, quote=False)}</span>'


def highlight(text, language="cpp"):
    if language not in ("cpp", "cmake"):
        return html.escape(text, quote=False)
    out, last = [], 0
    for found in (CPP if language == "cpp" else CMAKE).finditer(text):
        out.append(html.escape(text[last:found.start()], quote=False))
        kind, token = found.lastgroup, found.group()
        if kind == "word":
            follows = text[found.end():]
            if language == "cmake":
                out.append(span("function", token))
            elif token in KEYWORDS:
                out.append(span("keyword", token))
            elif re.match(r"\(", follows):
                out.append(span("function", token))
            elif token[0].isupper():
                out.append(span("type", token))
            else:
                out.append(html.escape(token, quote=False))
        else:
            out.append(span({"include": "directive", "attribute": "directive"}.get(kind, kind), token))
        last = found.end()
    out.append(html.escape(text[last:], quote=False))
    return "".join(out)


def language_of(name):
    return "cmake" if name == "CMakeLists.txt" else "cpp" if name.endswith((".cpp", ".hpp")) else "text"


CLASS = {" ": "same", "+": "add", "-": "rem"}
LONG_REMOVAL = 12


def line(row, language, anchor=False):
    number = f' data-n="{row.new}"' if row.new else ' data-n="-"'
    identity = f' id="L{row.new}"' if anchor and row.new else ""
    return f'<span class="l {CLASS[row.op]}"{number}{identity}>{highlight(row.text, language)}\n</span>'


def listing(rows, language, anchor=False):
    """The rows as one <pre>, or several where a long run of removed lines is folded."""
    blocks, index = [[]], 0
    folded = []
    while index < len(rows):
        end = index
        while end < len(rows) and rows[end].op == "-":
            end += 1
        if end - index > LONG_REMOVAL:
            text = "".join(line(row, language) for row in rows[index:end])
            folded.append(f'<details class="removed"><summary>{end - index} lines go</summary>'
                          f'<pre class="listing">{text}</pre></details>')
            blocks += [folded[-1], []]
            index = end
        else:
            blocks[-1].append(line(rows[index], language, anchor))
            index += 1
    return "".join(block if isinstance(block, str) else f'<pre class="listing">{"".join(block)}</pre>'
                   for block in blocks if block)


# --- whose code it is -------------------------------------------------------------------------------------------------


def declared(text):
    """The name that a line without indentation declares or defines, as a reader would say it, or None."""
    if not text or text[0] in " #}/" or re.match(r"(public|private|protected|namespace|template)\b", text):
        return None
    found = re.match(r"(class|struct|enum class)\s+(\w+)", text)
    if found:
        return f"{found[1]} {found[2]}"
    found = re.match(r"using\s+(\w+)\s*=", text)
    if found:
        return found[1]
    if text.startswith("using"):
        return None
    found = re.match(r"(?:static |inline )*(?:constexpr|const)\s+[\w:<>]+\s+(\w+)\s*[={]", text)
    if found:
        return found[1]
    found = re.match(r"[^=\"]*?((?:\w+::)*(?:~?\w+|operator\W+))\(", text)
    return f"{found[1].strip()}()" if found else None


def place_of(lines, start, end):
    """What the lines [start, end) of a C++ file are, or are part of: "in accept_clients()", "struct Address", …"""
    first = next((index for index in range(start, end) if lines[index].strip()), start)
    if re.match(r" |(public|private|protected):", lines[first]):
        for index in range(first, -1, -1):
            name = declared(lines[index])
            if name:
                return f"in {name}"
        return ""
    names = []
    for text in lines[start:end]:
        name = declared(text)
        if name and name not in names:
            names.append(name)
    if start == 0:
        return "from its first line" + (f" to {names[-1]}" if names else "")
    return ", ".join(names[:3])


def functions_in(texts):
    """Names declared among lines, for the summary of a folded part."""
    names = []
    for text in texts:
        name = declared(text)
        if name and name not in names:
            names.append(name)
    return names
