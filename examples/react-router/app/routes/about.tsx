export default function About() {
  return (
    <main>
      <h1>About</h1>
      <p>This page is the same for everybody.</p>
    </main>
  );
}
