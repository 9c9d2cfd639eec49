"use strict";
const place = document.getElementById("api");
SwaggerUIBundle({
  url: place.dataset.openapi,
  domNode: place,
  deepLinking: true,
  // Its default asks a server of others about this document.
  validatorUrl: null,
});
