// Swagger UI over the document of this service. Its check by a site elsewhere is left out.
SwaggerUIBundle({url: "openapi.json", dom_id: "#docs", deepLinking: true, validatorUrl: null, tryItOutEnabled: true});
