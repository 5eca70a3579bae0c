import { createAuthClient } from "better-auth/client";

const auth = createAuthClient();
const form = document.querySelector("form")!;
const output = document.querySelector("output")!;

/** Each button is one call of better-auth's client. */
const actions = {
  "sign up": (email: string, password: string) => auth.signUp.email({ name: email, email, password }),
  "sign in": (email: string, password: string) => auth.signIn.email({ email, password }),
  devices: () => auth.listSessions(),
  "sign out": () => auth.signOut(),
  "sign out everywhere": () => auth.revokeSessions(),
};

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const fields = new FormData(form);
  const action = (event.submitter as HTMLButtonElement).value as keyof typeof actions;
  const { data, error } = await actions[action](String(fields.get("email")), String(fields.get("password")));
  output.textContent = error ? (error.message ?? error.statusText) : JSON.stringify(data, null, 2);
});
