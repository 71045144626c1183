import { createRoot } from "react-dom/client";
import { createClient } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { Area, Bar, CartesianGrid, ComposedChart, LabelList, Line, ReferenceLine, ResponsiveContainer, Tooltip, XAxis, YAxis, Cell } from "recharts";
import { DashboardService } from "./gen/millrace/v1/dashboard_pb";
const c = createClient(DashboardService, createGrpcWebTransport({ baseUrl: location.origin }));
c.listPanels({}).then(console.log);
createRoot(document.getElementById("root")!).render(<ResponsiveContainer><ComposedChart data={[]}><Area dataKey="a"/><Bar dataKey="b"><LabelList/><Cell/></Bar><CartesianGrid/><Line dataKey="c"/><ReferenceLine y={1}/><Tooltip/><XAxis/><YAxis/></ComposedChart></ResponsiveContainer>);
