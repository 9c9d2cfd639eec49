// Sends requests as axios writes them to the port that is given; `python -m tests.support.recorded.record axios`
// keeps their bytes.
import axios from "axios";

const http = axios.create({ baseURL: `http://127.0.0.1:${process.argv[2]}`, validateStatus: () => true });
const store = ["s1", "s2"];
const bearer = { headers: { Authorization: "Bearer token" } };

await http.get("/list", { params: { store }, ...bearer });
await http.get("/list", { params: { store }, paramsSerializer: { indexes: true } });
await http.get("/list", { params: { store }, paramsSerializer: { indexes: null } });
await http.get("/list", { params: { store: JSON.stringify(store) } });
await http.get("/list", { params: { store: store.join(",") } });
await http.get("/list", { params: { store: ["s1", ""] } });
await http.get("/list", { params: { store: [] } });
await http.get("/list", { params: { store: null, limit: undefined } });
await http.get("/list", { params: { store: ["ñ á&b"] } });
await http.get("/list", { params: { stores: store } });
await http.post("/amount", { amount: 0.1 + 0.2, note: "Ünïcode" });
await http.post("/amount", '{"amount":182.45000000000002}', { headers: { "Content-Type": "application/json" } });
