// OIDC Front-Channel Logout: goes on when every app's frame has loaded, or when one takes too long.

const LONGEST_WAIT = 2000;

const goOn = () => location.replace(document.getElementById("onward").href);

if (document.readyState === "complete") {
  goOn();
} else {
  addEventListener("load", goOn, { once: true });
  setTimeout(goOn, LONGEST_WAIT);
}
