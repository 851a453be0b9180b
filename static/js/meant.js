/** What cannot be undone is asked for twice. */

/** Whether it was asked for twice: the first click asks, a second one within some seconds means it. */
export function isMeant(button) {
  if (button.dataset.asked) return true;
  const label = button.textContent;
  button.dataset.asked = "yes";
  button.textContent = "Delete for good?";
  setTimeout(() => {
    delete button.dataset.asked;
    if (!button.disabled) button.textContent = label;
  }, 4000);
  return false;
}
