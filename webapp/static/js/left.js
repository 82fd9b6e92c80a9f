// @ts-check
import { clear, startKeeper } from "./keeper.js";

/**
 * On the page after a log-out: let go of the files that this browser holds for uploads, and stop the tabs that still
 * send. The page that was left did it already, unless the button was pressed before its script stood.
 * Only once: the same address, opened later, says nothing of who is logged in then.
 */
export async function letGoOfFiles() {
  history.replaceState(null, "", location.pathname);
  const others = new BroadcastChannel("nocturne-uploads");
  others.postMessage({ act: "logout", id: "" });
  others.close();
  await startKeeper();
  clear();
}
