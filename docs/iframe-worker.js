// The search of the site runs in a Worker, which browsers refuse to pages read from the disk. There a hidden frame takes
// its place: it runs the same script, and what that posts goes to this page. (Without a file of this name the plugin
// `offline` would name one of a server.)
if (location.protocol === "file:")
  window.Worker = class extends EventTarget {
    constructor(url) {
      super()
      const frame = document.createElement("iframe")
      frame.hidden = true
      document.body.append(frame)
      this.inside = frame.contentWindow
      addEventListener("message", (event) => {
        if (event.source === this.inside) this.dispatchEvent(new MessageEvent("message", { data: event.data }))
      })
      this.inside.document.write(
        `<script>postMessage = (data) => parent.dispatchEvent(new MessageEvent("message", { data, source: self }))</` +
          `script><script src="${url}"></` + `script>`
      )
      this.inside.document.close()
      this.ready = new Promise((done) => (frame.onload = done))
    }
    postMessage(data) {
      this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })))
    }
    terminate() {}
  }
