// In the head and not a module: the choice must be in force before anything is painted.
{
  let chosen = "";
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage may be forbidden; then the system's choice holds.
  }
  document.documentElement.classList.add("scripted"); // legs of calls are folded away, since they can be unfolded
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
