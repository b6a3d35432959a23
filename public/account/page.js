// Takes what an invitation or a link to a new password holds behind its `#`, which no browser sends, and hands it to the
// API with the password that its holder chooses.

const token = location.hash.slice(1);
const isInvitation = token.startsWith("rsi_");
const [form, status] = [document.querySelector("form"), document.querySelector("[role=status]")];
const [name, password] = [document.getElementById("name"), document.getElementById("password")];

if (isInvitation || token.startsWith("rsr_")) {
  form.querySelector("button").textContent = isInvitation ? "Accept the invitation" : "Set the password";
  document.getElementById("named").hidden = !isInvitation;
  name.required = isInvitation;
  form.hidden = false;
  status.textContent = "";
} else {
  status.textContent = "This link is not complete. Copy all of it into the address bar.";
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  status.textContent = "One moment …";
  const [path, named] = isInvitation ? ["accept-invitation", { name: name.value }] : ["reset", {}];
  try {
    const answer = await fetch(`/api/auth/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ token, password: password.value, ...named }),
    });
    form.hidden = answer.ok;
    status.textContent = answer.ok ? "Done. You can log in with this password now." : (await answer.json()).error;
  } catch {
    status.textContent = "The registry did not answer. Try again.";
  }
});

// Another link opened in the same tab changes only what stands behind the `#`.
addEventListener("hashchange", () => location.reload());
