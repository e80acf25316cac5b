FROM scratch
COPY webhook /webhook
USER 65532:65532
ENTRYPOINT ["/webhook"]
