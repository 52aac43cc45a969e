// Runs the reference server; its first argument chooses the transport.
import "@modelcontextprotocol/server-everything/dist/index.js";
