"use strict";
document.getElementById("continue").submit();
