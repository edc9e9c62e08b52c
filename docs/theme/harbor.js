// A link to a line or a section inside a folded part opens the part.
(function () {
    function reveal() {
        if (location.hash.length < 2) {
            return;
        }
        const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
        for (let element = target; element; element = element.parentElement) {
            if (element.tagName === "DETAILS") {
                element.open = true;
            }
        }
        if (target) {
            target.scrollIntoView();
        }
    }
    addEventListener("load", reveal);
    addEventListener("hashchange", reveal);
})();
