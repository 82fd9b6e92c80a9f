// @ts-check
// The frame of every page: theme, menus, dialogs, toasts, keys and moments in the browser's own zone.
import { startDialogs } from "./dialogs.js";
import { startKeys } from "./keys.js";
import { startLogOut } from "./logout.js";
import { startSubmitting } from "./submitting.js";
import { startTheme } from "./theme.js";
import { startTimes } from "./time.js";

startTheme();
startDialogs();
startKeys();
startSubmitting();
startTimes();
// Only for who is logged in, and not before the page itself stands.
if (document.querySelector("[data-drawer]")) startLogOut(import("./drawer.js"));
// A press before this script stood was a plain submit, and the page that was left put its files by.
else if (document.querySelector("[data-left]")) void import("./left.js").then(({ letGoOfFiles }) => letGoOfFiles()).catch(() => {});
