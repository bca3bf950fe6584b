--  Debian's Ada binding of POSIX (Florist), which knows nothing of mqx: sends,
--  receives in the order of priorities, is notified, and is told that a queue
--  is empty.  Leaves one message behind.  Its argument is the queue's name.

with Ada.Command_Line;      use Ada.Command_Line;
with Ada.Streams;           use Ada.Streams;
with POSIX;                 use POSIX;
with POSIX.IO;
with POSIX.Message_Queues;  use POSIX.Message_Queues;
with POSIX.Permissions;
with POSIX.Signals;         use POSIX.Signals;

procedure Florist is
   Name    : constant POSIX_String := To_POSIX_String (Argument (1));
   Attrs   : Attributes;
   Queue   : Message_Queue_Descriptor;
   Event   : Signal_Event;
   Set     : Signal_Set;
   Old_Set : Signal_Set;

   Wrong : exception;

   procedure Check (Holds : Boolean; What : String) is
   begin
      if not Holds then
         raise Wrong with What;
      end if;
   end Check;

   procedure Put (Text : String; Priority : Integer) is
      Message : Stream_Element_Array (1 .. Text'Length);
   begin
      for I in Text'Range loop
         Message (Stream_Element_Offset (I - Text'First + 1)) := Character'Pos (Text (I));
      end loop;
      Send (Queue, Message, Message_Priority (Priority), No_Signals);
   end Put;

   procedure Expect (Text : String; Priority : Integer) is
      Message : Stream_Element_Array (1 .. 32);
      Last    : Stream_Element_Offset;
      Got     : Message_Priority;
   begin
      Receive (Queue, Message, Last, Got, No_Signals);
      Check (Integer (Last) = Text'Length and Integer (Got) = Priority, "received " & Text);
      for I in 1 .. Last loop
         Check (Character'Val (Message (I)) = Text (Text'First + Integer (I) - 1), Text);
      end loop;
   end Expect;

begin
   Add_Signal (Set, SIGUSR1);
   Block_Signals (Set, Old_Set);

   Set_Max_Messages (Attrs, 5);
   Set_Message_Length (Attrs, 32);
   Queue := Open_Or_Create (Name, POSIX.IO.Read_Write, POSIX.Permissions.Owner_Permission_Set,
                            POSIX.IO.Empty_Set, Attrs, No_Signals);
   Check (Get_Max_Messages (Get_Attributes (Queue)) = 5, "attributes");

   Set_Signal (Event, SIGUSR1);
   Set_Notification (Event, Signal_Notification);
   Request_Notify (Queue, Event);
   begin
      Request_Notify (Queue, Event);
      Check (False, "a second registration");
   exception
      when POSIX_Error => Check (Get_Error_Code = Resource_Busy, "EBUSY");
   end;
   Put ("low", 1);
   Check (Get_Source (Await_Signal_Or_Timeout (Set, To_Timespec (60, 0))) = From_Message_Queue,
          "notified by a message queue");

   Put ("high", 9);
   Check (Get_Message_Count (Get_Attributes (Queue)) = 2, "number of messages");
   Expect ("high", 9);
   Expect ("low", 1);

   Set_Options (Attrs, Non_Blocking);
   Set_Attributes (Queue, Attrs);
   begin
      Expect ("", 0);
      Check (False, "receiving from an empty queue");
   exception
      when POSIX_Error => Check (Get_Error_Code = Resource_Temporarily_Unavailable, "EAGAIN");
   end;

   Put ("from Ada", 3);
   Close (Queue);
end Florist;
