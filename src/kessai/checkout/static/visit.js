"use strict";
parent.postMessage(
  JSON.stringify({
    MessageType: "profile.completed",
    "Session Id": document.documentElement.dataset.reference,
    Status: true,
  }),
  "*",
);
