// No sessions at all.

export default {
  name: "no session",
  async fetch() {
    return new Response("ok");
  },
  forge: (cookie) => cookie,
};
