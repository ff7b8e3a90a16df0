"use strict";
// The page works without this: it names the card's brand while it is typed, and greys out a button that was pressed.
const form = document.getElementById("pay");
const number = document.getElementById("number");
const brand = document.getElementById("brand");
const ranges = JSON.parse(form.dataset.ranges);

/** Full-width digits as plain ones, nothing else. */
const digits = (text) => text.normalize("NFKC").replace(/[^0-9]/g, "");

/** The brand of the longest prefix that fits. */
function recognised(typed) {
  let best = "", longest = 0;
  for (const [first, last, name] of ranges) {
    const begins = typed.slice(0, first.length);
    if (begins.length === first.length && first.length > longest && begins >= first && begins <= last) {
      best = name;
      longest = first.length;
    }
  }
  return best;
}

number.addEventListener("input", (event) => {
  const typed = digits(number.value);
  brand.textContent = recognised(typed);
  if (event.isComposing || number.selectionEnd !== number.value.length) return;
  const groups = brand.textContent === "American Express" ? /^(.{1,4})(.{1,6})?(.+)?$/ : null;
  const parts = groups ? (typed.match(groups) || []).slice(1).filter(Boolean) : typed.match(/.{1,4}/g) || [];
  number.value = parts.join(" ");
});

let isSent = false;
form.addEventListener("submit", (event) => {
  if (isSent) {
    event.preventDefault();
    return;
  }
  isSent = true;
  form.setAttribute("aria-busy", "true");
});
addEventListener("pageshow", () => {
  isSent = false;
  form.removeAttribute("aria-busy");
});
