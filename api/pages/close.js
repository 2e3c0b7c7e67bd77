// The end of a window that another page of ours has opened. Where it may not close itself, it says that one can.
"use strict";

window.close();
